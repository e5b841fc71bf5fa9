"""The report of a run: one HTML file, pictures included, nothing from the network."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flowasd.evaluation import metrics
from flowasd.evaluation.assess import BLEND, Estimate
from flowasd.evaluation.evaluate import Evaluation, Example, ScoredClip
from flowasd.files import write_text
from flowasd.report import plots

QUANTILES = {
    "min": 0,
    "5 %": 0.05,
    "25 %": 0.25,
    "median": 0.5,
    "75 %": 0.75,
    "95 %": 0.95,
    "max": 1,
}


def write_report(path: Path, evaluation: Evaluation) -> None:
    """Writes the report, replacing an older one in a single step.

    Args:
        path: The HTML file.
        evaluation: What it is about; each of its examples adds 160 kB.

    Raises:
        ValueError: If a score, a band or a frame NLL is not finite.
    """
    _check_finite(evaluation.clips, evaluation.examples)
    environment = Environment(
        loader=PackageLoader("flowasd.report"), autoescape=True, undefined=StrictUndefined
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    text = environment.get_template("report.html").render(_content(evaluation))
    write_text(path, text)


def _content(evaluation: Evaluation) -> dict[str, Any]:
    """What the template shows; a part that there is nothing to say of is empty."""
    clips, columns, rule = evaluation.clips, evaluation.columns, evaluation.rule
    summary = {key: value for key, value in evaluation.summary.items() if key != "metrics"}
    return {
        "title": f"{summary['machine_type']}: {evaluation.workdir.absolute().name}",
        "simulated": evaluation.kind == "SIMULATED",
        "rule": rule,
        "detection": _detection(clips, columns, rule) if columns else None,
        "quantiles": None if columns else _quantiles(clips, rule),
        "training": _training(evaluation.history),
        "outlook": _outlook(evaluation.estimates, summary.get("proxy_auc", {}), rule),
        "histograms": _histograms(clips, rule),
        "roc": _roc(clips, columns, rule),
        "examples": _examples(evaluation.examples, evaluation.hop_seconds),
        "facts": list(_flatten(summary)),
    }


def _check_finite(clips: Sequence[ScoredClip], examples: Sequence[Example]) -> None:
    for clip in clips:
        if not np.isfinite(list(clip.scores.values())).all():
            raise ValueError(f"{clip.name}: a score is not finite: {clip.scores}")
    for example in examples:
        shown = (example.score, example.bands, example.frame_nll)
        if not all(np.isfinite(values).all() for values in shown):
            raise ValueError(f"{example.name}: score, bands or frame NLL are not finite")


def _detection(
    clips: Sequence[ScoredClip], columns: Mapping[str, Sequence[metrics.Row]], rule: str
) -> dict[str, Any]:
    mean = metrics.average(columns[rule])
    weakest = min(columns[rule], key=lambda row: row.auc)
    left_out = {clip.machine_id for clip in clips} - {row.machine_id for row in columns[rule]}
    rules = dict.fromkeys([rule, *columns])  # the headline rule comes first
    lines = {name: [*columns[name], metrics.average(columns[name])] for name in rules}
    return {
        "verdict": (
            f"AUC {_percent(mean.auc)} %, pAUC {_percent(mean.pauc)} %: the average over "
            f"{_count(len(columns[rule]), 'machine ID')}, scored by “{rule}”. "
            f"Lowest AUC: {_percent(weakest.auc)} % on {weakest.machine_id}."
        ),
        "ids": [row.machine_id for row in lines[rule]],
        "rows": [
            [name, *(_percent(value) for row in line for value in (row.auc, row.pauc))]
            for name, line in lines.items()
        ],
        "left_out": ", ".join(sorted(left_out)),
    }


def _quantiles(clips: Sequence[ScoredClip], rule: str) -> dict[str, Any]:
    groups = _by_machine(clips)
    if any(clip.label == 1 for clip in clips):
        reason = "No machine ID has both normal and anomalous clips"
    else:
        reason = "No anomalous clips were at hand"
    rows = []
    for machine_id, own in groups.items():
        values = np.quantile([clip.scores[rule] for clip in own], list(QUANTILES.values()))
        rows.append([machine_id, str(len(own)), *(f"{value:.4g}" for value in values)])
    return {
        "verdict": (
            f"{_count(len(clips), 'clip')} of {_count(len(groups), 'machine ID')} scored. "
            f"{reason}, so there is no AUC; the table shows how the scores are spread."
        ),
        "names": ["Machine ID", "clips", *QUANTILES],
        "rows": rows,
    }


def _training(history: Sequence[Mapping[str, float | int]]) -> Markup | None:
    train, validation = (_series(history, key) for key in ("train_nll", "validation_nll"))
    if not (train.size or validation.size):
        return None
    return Markup(plots.training_curve(train, validation))


def _outlook(
    estimates: Sequence[Estimate], proxy_auc: Mapping[str, float], rule: str
) -> dict[str, Any] | None:
    if rule not in proxy_auc:
        return None
    best = max(proxy_auc, key=lambda name: proxy_auc[name])
    verdict = f"On stand-ins, AUC {_percent(proxy_auc[rule])} % by “{rule}”"
    if proxy_auc[best] > proxy_auc[rule]:
        verdict += f"; the most, {_percent(proxy_auc[best])} %, by “{best}”"
    curves = severity_curves(estimates, rule)
    blend = "“blend”, a share of another machine ID’s clip, louder or softer"
    return {
        "verdict": f"{verdict}.",
        "picture": Markup(plots.severity_curves(curves)),
        "mean_over": blend if BLEND in curves else "the faults",
    }


def severity_curves(
    estimates: Sequence[Estimate], rule: str
) -> dict[str, Float[np.ndarray, "2 severity"]]:
    """Returns severity and AUC by one rule, for each stand-in."""
    points = {
        stand_in: [
            (e.severity, e.auc) for e in estimates if (e.stand_in, e.rule) == (stand_in, rule)
        ]
        for stand_in in dict.fromkeys(e.stand_in for e in estimates)
    }
    return {stand_in: np.array(sorted(values)).T for stand_in, values in points.items()}


def _histograms(clips: Sequence[ScoredClip], rule: str) -> dict[str, Markup]:
    figures = {}
    for machine_id, own in _by_machine(clips).items():
        scores = {
            label: [clip.scores[rule] for clip in own if clip.label == label]
            for label in plots.CLASSES
            if any(clip.label == label for clip in own)
        }
        figures[machine_id] = Markup(plots.histogram(scores, alt=f"scores of {machine_id}"))
    return figures


def _roc(
    clips: Sequence[ScoredClip], columns: Mapping[str, Sequence[metrics.Row]], rule: str
) -> Markup | None:
    groups = _by_machine(clips)
    curves = {
        f"{row.machine_id}: AUC {_percent(row.auc)}": (
            [clip.label for clip in groups[row.machine_id] if clip.label is not None],
            [clip.scores[rule] for clip in groups[row.machine_id] if clip.label is not None],
        )
        for row in columns.get(rule, ())
    }
    return Markup(plots.roc(curves)) if curves else None


def _examples(examples: Sequence[Example], hop_seconds: float) -> list[dict[str, Any]]:
    if not examples:
        return []
    # One scale for all, so that the pictures can be compared.
    levels = np.concatenate([example.bands.ravel() for example in examples])
    nlls = np.concatenate([example.frame_nll for example in examples])
    low, high = np.quantile(levels, [0.01, 0.999])
    shown = []
    for example in examples:
        svg = plots.example(
            example.bands,
            example.frame_nll,
            label=example.label,
            hop_seconds=hop_seconds,
            decibels=(low, high),
            nll=(float(nlls.min()), float(nlls.max())),
            alt=f"bands and frame NLL of {example.name}",
        )
        note = f"{example.machine_id} · {plots.CLASSES[example.label]} · score {example.score:.4g}"
        shown.append({"svg": Markup(svg), "name": example.name, "note": note})
    return shown


def _by_machine(clips: Sequence[ScoredClip]) -> dict[str, list[ScoredClip]]:
    ids = sorted({clip.machine_id for clip in clips})
    return {name: [clip for clip in clips if clip.machine_id == name] for name in ids}


def _series(
    history: Sequence[Mapping[str, float | int]], key: str
) -> Float[np.ndarray, "2 logged"]:
    rows = [(row["step"], row[key]) for row in history if math.isfinite(row.get(key, math.nan))]
    return np.array(rows, dtype=np.float64).reshape(-1, 2).T


def _flatten(mapping: Mapping[str, object], prefix: str = "") -> Iterator[list[str]]:
    """A row for each value; nested keys are joined by dots."""
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield [f"{prefix}{key}", _text(value)]


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
