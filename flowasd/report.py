"""The report of a run: one HTML file, pictures included, nothing from the network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float

from flowasd import metrics, page, plots
from flowasd.assess import BLEND
from flowasd.files import write_text

QUANTILES = {
    "min": 0,
    "5 %": 0.05,
    "25 %": 0.25,
    "median": 0.5,
    "75 %": 0.75,
    "95 %": 0.95,
    "max": 1,
}


@dataclass(frozen=True)
class Example:
    """A clip to be shown as a picture: `log_mel` in dB, `frame_nll` in nats per dimension."""

    name: str
    machine_id: str
    label: int | None
    score: float
    log_mel: Float[np.ndarray, "time mel"]
    frame_nll: Float[np.ndarray, " time"]


@dataclass(frozen=True)
class ScoredClip:
    """A clip with its score by every rule; label 0 is normal, 1 anomalous, `None` unknown."""

    name: str
    machine_id: str
    label: int | None
    scores: dict[str, float]


def write_report(
    path: Path,
    *,
    title: str,
    simulated: bool,
    rule: str,
    summary: Mapping[str, object],
    history: Sequence[Mapping[str, float | int]],
    proxy_auc: Mapping[str, float],
    stand_ins: Mapping[str, Float[np.ndarray, "2 severity"]],
    clips: Sequence[ScoredClip],
    columns: Mapping[str, Sequence[metrics.Row]],
    examples: Sequence[Example],
    hop_seconds: float,
) -> None:
    """Writes the report, replacing an older one in a single step.

    Args:
        path: The HTML file; its folder exists.
        title: The heading.
        simulated: Whether the sounds were generated; the page then says so first of all.
        rule: The headline rule, a key of every clip's `scores`.
        summary: Facts of the run for the last table; nested keys are joined by dots.
        history: Logged steps in order: "step" with "train_nll" or "validation_nll" or both.
        proxy_auc: AUC on stand-ins for anomalies, by every rule; none if not assessed.
        stand_ins: AUC by the headline rule (rows: severity, AUC), by stand-in.
        clips: The scored clips, all by the same rules.
        columns: Their AUC and pAUC by every rule, a row an ID; empty if no ID has both classes.
        examples: Clips to draw, about ten at most: each adds 160 kB, whatever its length.
        hop_seconds: Time from one frame to the next.

    Raises:
        ValueError: A score, log-mel or frame NLL is not finite.
    """
    _check_finite(clips, examples)
    sections = [
        _detection(clips, columns, rule) if columns else _quantiles(clips, rule),
        _training(history),
        _without_labels(proxy_auc, stand_ins, rule),
        _histograms(clips, rule),
        _rocs(clips, columns, rule),
        _examples(examples, hop_seconds),
        page.section("Run", page.facts(summary)),
    ]
    text = page.page(title, simulated=simulated, html="".join(sections))
    write_text(path, text)


def _check_finite(clips: Sequence[ScoredClip], examples: Sequence[Example]) -> None:
    for clip in clips:
        if not np.isfinite(list(clip.scores.values())).all():
            raise ValueError(f"{clip.name}: a score is not finite: {clip.scores}")
    for example in examples:
        shown = (example.score, example.log_mel, example.frame_nll)
        if not all(np.isfinite(values).all() for values in shown):
            raise ValueError(f"{example.name}: score, log-mel or frame NLL is not finite")


def _detection(
    clips: Sequence[ScoredClip], columns: Mapping[str, Sequence[metrics.Row]], rule: str
) -> str:
    mean = metrics.average(columns[rule])
    weakest = min(columns[rule], key=lambda row: row.auc)
    verdict = (
        f"AUC {_percent(mean.auc)} %, pAUC {_percent(mean.pauc)} %: the average over "
        f"{_count(len(columns[rule]), 'machine ID')}, scored by “{rule}”. "
        f"Lowest AUC: {_percent(weakest.auc)} % on {weakest.machine_id}."
    )
    note = (
        "In percent; the headline rule is shaded. AUC: how often an anomalous clip scores above "
        "a normal one. pAUC: the same where at most 10 % of the normal clips raise an alarm, "
        "standardised. Chance is 50 for both."
    )
    left_out = {clip.machine_id for clip in clips} - {row.machine_id for row in columns[rule]}
    if left_out:
        note += f" Without normal or without anomalous clips: {', '.join(sorted(left_out))}."
    rules = dict.fromkeys([rule, *columns])  # the headline rule comes first
    lines = {name: [*columns[name], metrics.average(columns[name])] for name in rules}
    ids = "".join(f'<th colspan="2">{escape(row.machine_id)}</th>' for row in lines[rule])
    head = (
        f"<thead><tr><th>Rule</th>{ids}</tr>"
        f"<tr><th></th>{'<th>AUC</th><th>pAUC</th>' * len(lines[rule])}</tr></thead>"
    )
    cells = [
        [name, *(_percent(value) for row in line for value in (row.auc, row.pauc))]
        for name, line in lines.items()
    ]
    table = page.table(cells, head=head, css="metrics") + page.paragraph(note, "soft")
    return page.paragraph(verdict, "verdict") + page.section("Detection", table)


def _quantiles(clips: Sequence[ScoredClip], rule: str) -> str:
    groups = _by_machine(clips)
    if any(clip.label == 1 for clip in clips):
        reason = "No machine ID has both normal and anomalous clips"
    else:
        reason = "No anomalous clips were at hand"
    verdict = (
        f"{_count(len(clips), 'clip')} of {_count(len(groups), 'machine ID')} scored. {reason}, "
        "so there is no AUC; the table shows how the scores are spread."
    )
    cells = []
    for machine_id, own in groups.items():
        values = np.quantile([clip.scores[rule] for clip in own], list(QUANTILES.values()))
        cells.append([machine_id, str(len(own)), *(f"{value:.4g}" for value in values)])
    names = "".join(f"<th>{name}</th>" for name in ("Machine ID", "clips", *QUANTILES))
    table = page.table(cells, head=f"<thead><tr>{names}</tr></thead>")
    return page.paragraph(verdict, "verdict") + page.section("Score quantiles", table)


def _training(history: Sequence[Mapping[str, float | int]]) -> str:
    train, validation = (_series(history, key) for key in ("train_nll", "validation_nll"))
    if not (train.size or validation.size):
        return ""
    text = (
        "Only normal sound is learnt: the lower the NLL, the better the model knows it. "
        "Validation is on normal clips that were held out of training."
    )
    picture = page.figure(plots.training_curve(train, validation))
    return page.section("Training", page.grid([picture, page.paragraph(text, "soft")]))


def _without_labels(
    proxy_auc: Mapping[str, float],
    stand_ins: Mapping[str, Float[np.ndarray, "2 severity"]],
    rule: str,
) -> str:
    if not proxy_auc:
        return ""
    best = max(proxy_auc, key=lambda name: proxy_auc[name])
    outlook = f"On stand-ins, AUC {_percent(proxy_auc[rule])} % by “{rule}”"
    if proxy_auc[best] > proxy_auc[rule]:
        outlook += f"; the most, {_percent(proxy_auc[best])} %, by “{best}”"
    mean_over = (
        "“blend”, a share of another machine ID’s clip, louder or softer"
        if BLEND in stand_ins
        else "the faults"
    )
    text = (
        "No anomaly was looked at: stand-ins were put into normal clips that were held out of "
        f"training. The AUC is the mean over {mean_over}. It compares rules and runs; real "
        "anomalies may be easier or harder. Dashed: chance."
    )
    cells = [page.figure(plots.severity_curves(stand_ins)), page.paragraph(text, "soft")]
    html = page.paragraph(f"{outlook}.", "verdict") + page.grid(cells)
    return page.section("Without labels", html)


def _histograms(clips: Sequence[ScoredClip], rule: str) -> str:
    figures = []
    for machine_id, own in _by_machine(clips).items():
        scores = {
            label: [clip.scores[rule] for clip in own if clip.label == label]
            for label in plots.CLASSES
            if any(clip.label == label for clip in own)
        }
        svg = plots.histogram(scores, alt=f"scores of {machine_id}")
        figures.append(page.figure(svg, machine_id))
    return page.section(f"Scores by “{rule}”", page.grid(figures)) if figures else ""


def _rocs(
    clips: Sequence[ScoredClip], columns: Mapping[str, Sequence[metrics.Row]], rule: str
) -> str:
    groups = _by_machine(clips)
    curves = {
        f"{row.machine_id}: AUC {_percent(row.auc)}": (
            [clip.label for clip in groups[row.machine_id] if clip.label is not None],
            [clip.scores[rule] for clip in groups[row.machine_id] if clip.label is not None],
        )
        for row in columns.get(rule, ())
    }
    if not curves:
        return ""
    text = (
        "Each point is a threshold: the share of the anomalous clips that it finds, against the "
        "share of the normal clips that raise a false alarm. Shaded: false-positive rates up to "
        "0.1, where pAUC is measured. Dashed: chance."
    )
    cells = [page.figure(plots.roc(curves)), page.paragraph(text, "soft")]
    return page.section(f"ROC by “{rule}”", page.grid(cells))


def _examples(examples: Sequence[Example], hop_seconds: float) -> str:
    if not examples:
        return ""
    # One scale for all, so that the pictures can be compared.
    levels = np.concatenate([example.log_mel.ravel() for example in examples])
    nlls = np.concatenate([example.frame_nll for example in examples])
    low, high = np.quantile(levels, [0.01, 0.999])
    figures = []
    for example in examples:
        svg = plots.example(
            example.log_mel,
            example.frame_nll,
            label=example.label,
            hop_seconds=hop_seconds,
            decibels=(low, high),
            nll=(float(nlls.min()), float(nlls.max())),
            alt=f"log-mel and frame NLL of {example.name}",
        )
        note = f"{example.machine_id} · {plots.CLASSES[example.label]} · score {example.score:.4g}"
        figures.append(page.figure(svg, example.name, note))
    heading = "Examples: log-mel, and NLL per frame in nats per dimension"
    return page.section(heading, page.grid(figures))


def _by_machine(clips: Sequence[ScoredClip]) -> dict[str, list[ScoredClip]]:
    ids = sorted({clip.machine_id for clip in clips})
    return {name: [clip for clip in clips if clip.machine_id == name] for name in ids}


def _series(
    history: Sequence[Mapping[str, float | int]], key: str
) -> Float[np.ndarray, "2 logged"]:
    rows = [(row["step"], row[key]) for row in history if math.isfinite(row.get(key, math.nan))]
    return np.array(rows, dtype=np.float64).reshape(-1, 2).T


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
