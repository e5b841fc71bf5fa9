"""A run's checkpoint and its test clips: scores, CSVs, metrics, summary and report."""

import csv
import io
import json
import platform
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from flowasd import metrics
from flowasd.bank import source_features
from flowasd.data.source import Source, cache_folder, open_source
from flowasd.detector import Detector
from flowasd.metric_log import Row, read_metrics
from flowasd.report import Example, ScoredClip, write_report
from flowasd.scoring import RULES, clip_scores
from flowasd.workdir import write_text

EXAMPLES = 3  # clips with the highest scores, shown in the report
PACKAGES = ("flowasd", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


class Evaluation(NamedTuple):
    """What a detector says of a test split.

    Attributes:
        clips: Every test clip with its score by every rule.
        paths: Path of every clip below the machine type's folder.
        examples: The clips with the highest scores.
        summary: Every number, and how it came to be.
    """

    clips: list[ScoredClip]
    paths: list[str]
    examples: list[Example]
    summary: dict[str, Any]


def evaluate(workdir: Path, root: str = "") -> Evaluation:
    """Scores the test clips of a run with its best checkpoint.

    Args:
        workdir: Folder of the run.
        root: Data set to test on instead of the run's own; it must have the run's machine IDs.

    Raises:
        UserError: If there is no checkpoint, or the data cannot be read.
    """
    detector = Detector.load(workdir)
    config = detector.config
    if root:
        config.data.root = root
    start = time.perf_counter()
    source = open_source(config.data, config.seed)
    features = source_features(source, detector.frontend, cache_folder(config.data))["test"]
    test = source.splits["test"]
    log_mels = [row[:n] for row, n in zip(features.log_mel, features.n_frames, strict=True)]
    ready = time.perf_counter()
    nlls = detector.frame_nll(log_mels, [clip.machine_id for clip in test])
    clips = [
        ScoredClip(clip.name, clip.machine_id, clip.label, clip_scores(nll))
        for clip, nll in zip(test, nlls, strict=True)
    ]
    times = {"features_s": ready - start, "score_s": time.perf_counter() - ready}
    rule = config.score.rule
    highest = np.argsort([-clip.scores[rule] for clip in clips])[:EXAMPLES]
    return Evaluation(
        clips=clips,
        paths=[f"{clip.path.parent.name}/{clip.name}" for clip in test],
        examples=[
            Example(c.name, c.machine_id, c.label, c.scores[rule], log_mels[i], nlls[i])
            for i, c in ((i, clips[i]) for i in highest)
        ],
        summary=_summary(detector, source, clips, times, read_metrics(workdir)),
    )


def _summary(
    detector: Detector,
    source: Source,
    clips: Sequence[ScoredClip],
    times: dict[str, float],
    history: Sequence[Row],
) -> dict[str, Any]:
    validated = {row["step"]: row["validation_nll"] for row in history if "validation_nll" in row}
    return {
        "data": "SIMULATED" if source.simulated else "real",
        "machine_type": source.machine_type,
        "machine_ids": detector.machine_ids,
        "labelled": source.labelled,
        "seed": detector.config.seed,
        "rule": detector.config.score.rule,
        "metrics": {
            rule: {
                row.machine_id: {"auc": row.auc, "pauc": row.pauc}
                for row in [*rows, metrics.average(rows)]
            }
            for rule, rows in metric_columns(clips).items()
        },
        "clips": {split: len(clips) for split, clips in source.splits.items()},
        "best_step": detector.step,
        "validation_nll": validated.get(detector.step),
        "test_nll_normal": _mean(c.scores["mean"] for c in clips if c.label == 0),
        "times": {"train_s": history[-1]["seconds"] if history else None} | times,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def metric_columns(clips: Sequence[ScoredClip]) -> dict[str, list[metrics.Row]]:
    """AUC and pAUC by every rule, a row an ID; none without labels."""
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    columns = {}
    for rule in RULES:
        rows = metrics.per_machine(ids, labels, np.array([clip.scores[rule] for clip in clips]))
        if rows:
            columns[rule] = rows
    return columns


def write_results(workdir: Path, evaluation: Evaluation) -> None:
    """Writes `results/`: the evaluator's CSVs, all scores, and the summary."""
    results = workdir / "results"
    results.mkdir(parents=True, exist_ok=True)
    clips, summary = evaluation.clips, evaluation.summary
    rule, machine_type = summary["rule"], summary["machine_type"]
    for machine_id in sorted({clip.machine_id for clip in clips}):
        rows = [(c.name, c.scores[rule]) for c in clips if c.machine_id == machine_id]
        write_csv(results / f"anomaly_score_{machine_type}_{machine_id}.csv", rows)
    scores = [
        (path, c.machine_id, "" if c.label is None else c.label, c.scores[rule], *c.scores.values())
        for path, c in zip(evaluation.paths, clips, strict=True)
    ]
    write_csv(results / "scores.csv", [("path", "machine_id", "label", "score", *RULES), *scores])
    table = [
        (machine_id, row["auc"], row["pauc"])
        for machine_id, row in summary["metrics"].get(rule, {}).items()
    ]
    write_csv(results / "result.csv", [(machine_type,), ("id", "AUC", "pAUC"), *table])
    write_text(results / "summary.json", json.dumps(summary, indent=2))


def write_evaluation_report(workdir: Path, evaluation: Evaluation) -> None:
    """Writes report.html."""
    summary = evaluation.summary
    config = Detector.load(workdir).config
    write_report(
        workdir / "report.html",
        title=f"{summary['machine_type']}: {workdir.name}",
        simulated=summary["data"] == "SIMULATED",
        rule=summary["rule"],
        summary={key: value for key, value in summary.items() if key != "metrics"},
        history=read_metrics(workdir),
        clips=evaluation.clips,
        examples=evaluation.examples,
        hop_seconds=config.frontend.hop_length / config.frontend.sample_rate,
    )


def describe(workdir: Path, evaluation: Evaluation) -> str:
    """The lines that a run ends with."""
    summary = evaluation.summary
    columns = metric_columns(evaluation.clips)
    lines = [f"{summary['machine_type']}, {summary['data']} recordings, rule `{summary['rule']}`"]
    if columns:
        lines.append(metrics.table(columns))
    else:
        lines.append("No anomalous test clips, so no AUC: the scores are in results/scores.csv.")
    return "\n".join([*lines, f"Report: {workdir / 'report.html'}"])


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes rows as CSV, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None
