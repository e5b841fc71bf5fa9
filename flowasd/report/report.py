"""The report of a run: one HTML file, pictures and sounds included, nothing from the network."""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flowasd.config import RunConfig
from flowasd.evaluation.evaluate import Evaluation
from flowasd.evaluation.examples import Example, ScoredClip, undefined_rules
from flowasd.files import write_text
from flowasd.report import detection, plots, score_plots
from flowasd.report.clips_table import alarm_table, alarm_words, clip_rows, threshold_text
from flowasd.report.detection import intervals
from flowasd.report.examples import shown
from flowasd.report.spectra_plot import spectra
from flowasd.report.words import by_machine, count, flatten, interval, percent, text
from flowasd.settings import walk


def write_report(path: Path, evaluation: Evaluation) -> None:
    """Writes the report, replacing an older one in a single step.

    Args:
        path: The HTML file.
        evaluation: What it is about; each of its examples adds up to 600 kB.

    Raises:
        ValueError: If a score or an explanation is not finite.
    """
    _check_finite(evaluation.clips, evaluation.examples)
    environment = Environment(
        loader=PackageLoader("flowasd.report"), autoescape=True, undefined=StrictUndefined
    )
    assert environment.loader is not None
    script, _, _ = environment.loader.get_source(environment, "clips.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _content(evaluation) | {"script": Markup(script), "script_digest": digest}
    write_text(path, environment.get_template("report.html").render(content))


def _content(evaluation: Evaluation) -> dict[str, Any]:
    """What the template shows; a part that there is nothing to say of is empty."""
    clips, columns, rule = evaluation.clips, evaluation.columns, evaluation.rule
    summary = {
        key: value
        for key, value in evaluation.summary.items()
        if key not in ("metrics", "decisions")  # they have tables of their own
    }
    machines = by_machine(clips)
    alarm_names, alarm_rows = alarm_table(evaluation)
    rows = clip_rows(evaluation)
    return {
        "title": (
            f"{summary['machine_type']}: {count(len(clips), 'clip')} of "
            f"{count(len(machines), 'machine ID')}, run “{evaluation.workdir.absolute().name}”"
        ),
        "simulated": evaluation.kind == "SIMULATED",
        "rule": rule,
        "alpha": f"{100 * evaluation.alpha:.3g}",
        "alarms": alarm_words(clips, evaluation.alpha),
        "alarm_names": alarm_names,
        "alarm_rows": alarm_rows,
        "detection": detection.detection(evaluation) if columns else None,
        "quantiles": None if columns else detection.quantiles(evaluation),
        "training": _training(evaluation.history),
        "outlook": _outlook(evaluation),
        "spectra": {
            machine_id: Markup(spectra(own, f"sampled and real frames of {machine_id}"))
            for machine_id, own in evaluation.spectra.items()
        },
        "histograms": _histograms(evaluation),
        "roc": _roc(evaluation),
        "calibration": _calibration(evaluation),
        "examples": shown(evaluation.examples, evaluation.alpha),
        "clips": rows,
        "machines": list(machines),
        "labels": sorted({row.label for row in rows}),
        "outcomes": sorted({row.outcome for row in rows}),
        "facts": list(flatten(summary)),
        "config": [] if evaluation.config is None else _config_rows(evaluation.config),
    }


def _check_finite(clips: Sequence[ScoredClip], examples: Sequence[Example]) -> None:
    for clip in clips:
        if not np.isfinite([*clip.scores.values(), clip.p_value]).all():
            raise ValueError(f"{clip.name}: a score is not finite: {clip.scores}")
    for example in examples:
        e = example.explanation
        drawn = [] if e is None else [e.score, e.explained, e.normal, e.map, e.spectra, e.curve]
        if not all(np.isfinite(values).all() for values in [*drawn, example.samples]):
            raise ValueError(f"{example.clip.name}: sound or explanation are not finite")


def _training(history: Sequence[Mapping[str, float | int]]) -> Markup | None:
    train, validation = (_series(history, key) for key in ("train_nll", "validation_nll"))
    if not (train.size or validation.size):
        return None
    return Markup(plots.training_curve(train, validation))


def _outlook(evaluation: Evaluation) -> dict[str, Any] | None:
    found = detection.outlook(evaluation)
    if found is None:
        return None
    return found | {"picture": Markup(plots.severity_curves(found["curves"]))}


def _histograms(evaluation: Evaluation) -> list[dict[str, Any]]:
    figures = []
    for machine_id, own in by_machine(evaluation.clips).items():
        scores = {
            label: [clip.scores[evaluation.rule] for clip in own if clip.label == label]
            for label in plots.CLASSES
            if any(clip.label == label for clip in own)
        }
        threshold = evaluation.thresholds.get(machine_id, math.inf)
        svg = score_plots.histogram(scores, f"scores of {machine_id}", threshold)
        note = f"Threshold {threshold_text(threshold)}. Alarms: "
        note += f"{alarm_words(own, evaluation.alpha)}."
        figures.append({"svg": Markup(svg), "name": machine_id, "note": note})
    return figures


def _roc(evaluation: Evaluation) -> Markup | None:
    rows = evaluation.columns.get(evaluation.rule, [])
    if not rows or evaluation.rule in undefined_rules(evaluation.clips):
        return None
    groups, bounds = by_machine(evaluation.clips), intervals(evaluation.clips, rows)
    curves = []
    for row in rows:
        own = [clip for clip in groups[row.machine_id] if clip.label is not None]
        curves.append(
            score_plots.Curve(
                f"{row.machine_id}: AUC {percent(row.auc)} ({interval(bounds[row.machine_id])})",
                [clip.label or 0 for clip in own],
                [clip.scores[evaluation.rule] for clip in own],
                [clip.p_value <= evaluation.alpha for clip in own],
            )
        )
    return Markup(score_plots.roc(curves))


def _calibration(evaluation: Evaluation) -> Markup | None:
    """Of all machines together; there is nothing to draw without clips that are normal."""
    p_values = {
        label: [clip.p_value for clip in evaluation.clips if clip.label == label]
        for label in (0, 1)
    }
    if not p_values[0]:
        return None
    present: dict[int | None, list[float]] = {
        label: values for label, values in p_values.items() if values
    }
    return Markup(score_plots.calibration(present, evaluation.alpha))


def _config_rows(config: RunConfig) -> list[list[str]]:
    return [[path, text(value)] for path, value, _ in walk(config)]


def _series(
    history: Sequence[Mapping[str, float | int]], key: str
) -> Float[np.ndarray, "2 logged"]:
    rows = [(row["step"], row[key]) for row in history if math.isfinite(row.get(key, math.nan))]
    return np.array(rows, dtype=np.float64).reshape(-1, 2).T
