"""A run's checkpoint and its test clips: scores, CSVs, metrics, summary and report."""

import json
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from flowasd import metrics
from flowasd.assess import Estimate, proxy_auc, read_estimates
from flowasd.bank import source_features
from flowasd.calibration import SCORES
from flowasd.data.dcase import read_test_clips
from flowasd.data.source import Source, cache_folder, open_source
from flowasd.detector import Detector
from flowasd.files import write_csv, write_text
from flowasd.metric_log import Row, read_metrics
from flowasd.report import Example, ScoredClip, write_report
from flowasd.typing import Config
from flowasd.workdir import check_splits

ASSESSMENT = Path("results", "assess.csv")
EXAMPLES = 3  # clips with the highest scores, shown in the report
PACKAGES = ("flowasd", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


class Evaluation(NamedTuple):
    """What a detector says of test clips.

    Attributes:
        clips: Every clip with its score by every rule.
        paths: Path of every clip below the machine type's folder.
        examples: The clips with the highest scores.
        columns: AUC and pAUC by every rule, a row an ID; none without labels.
        summary: Every number, and how it came to be.
        estimates: Of the run's assessment; none if there was none.
        hop_seconds: Time between two frames.
    """

    clips: list[ScoredClip]
    paths: list[str]
    examples: list[Example]
    columns: dict[str, list[metrics.Row]]
    summary: dict[str, Any]
    estimates: list[Estimate]
    hop_seconds: float


def evaluate(workdir: Path, config: Config | None = None) -> Evaluation:
    """Scores test clips with the best checkpoint of a run.

    Args:
        workdir: Folder of the run.
        config: Settings of the scoring, and a data set whose `test/` is scored instead of the
            run's own test clips; without it, all is as the run was trained.

    Raises:
        UserError: If there is no checkpoint, the config is of another model, or the data cannot
            be read or have machine IDs that the model has not seen, or the assessment is damaged.
    """
    detector = Detector.load(workdir, config)
    start = time.perf_counter()
    source = _open_test(workdir, detector)
    settings = detector.config
    features = source_features(source, detector.frontend, cache_folder(settings.data))["test"]
    log_mels, test = features.clips(), source.splits["test"]
    ready = time.perf_counter()
    heard = detector.clips(log_mels, [clip.machine_id for clip in test])
    clips = [
        ScoredClip(clip.name, clip.machine_id, clip.label, scores)
        for clip, scores in zip(test, detector.clip_scores(heard), strict=True)
    ]
    nlls = [nll[:, m] for nll, m in zip(heard.nlls, heard.machine, strict=True)]
    times = {"features_s": ready - start, "score_s": time.perf_counter() - ready}
    rule = settings.score.rule
    highest = np.argsort([-clip.scores[rule] for clip in clips])[:EXAMPLES]
    columns = _metric_columns(clips)
    return Evaluation(
        clips=clips,
        paths=[f"{clip.path.parent.name}/{clip.name}" for clip in test],
        examples=[
            Example(c.name, c.machine_id, c.label, c.scores[rule], log_mels[i], nlls[i])
            for i, c in ((i, clips[i]) for i in highest)
        ],
        columns=columns,
        summary=_summary(detector, source, clips, columns, times, read_metrics(workdir)),
        estimates=read_estimates(workdir / ASSESSMENT),
        hop_seconds=settings.frontend.hop_length / settings.frontend.sample_rate,
    )


def _open_test(workdir: Path, detector: Detector) -> Source:
    """The run's own splits, or the test clips alone of a data set that was named later."""
    data, seed = detector.config.data, detector.config.seed
    if data.root == detector.trained_root:
        source = open_source(data, seed)
        check_splits(workdir, source)
        return source
    dataset = read_test_clips(Path(data.root))
    labelled = any(clip.label is not None for clip in dataset.test)
    return Source(dataset.machine_type, False, labelled, {"test": dataset.test})


def _summary(
    detector: Detector,
    source: Source,
    clips: Sequence[ScoredClip],
    columns: dict[str, list[metrics.Row]],
    times: dict[str, float],
    history: Sequence[Row],
) -> dict[str, Any]:
    validated = {row["step"]: row["validation_nll"] for row in history if "validation_nll" in row}
    normal = [clip.scores["mean"] for clip in clips if clip.label == 0]
    return {
        "data": source.kind,
        "trained_on": detector.kind,
        "machine_type": source.machine_type,
        "machine_ids": detector.machine_ids,
        "labelled": source.labelled,
        "seed": detector.config.seed,
        "rule": detector.config.score.rule,
        "metrics": metrics.summary(columns),
        "clips": {split: len(clips) for split, clips in source.splits.items()},
        "best_step": detector.step,
        "validation_nll": validated.get(detector.step),
        "test_nll_normal": sum(normal) / len(normal) if normal else None,
        "times": {"train_s": history[-1]["seconds"] if history else None} | times,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def _metric_columns(clips: Sequence[ScoredClip]) -> dict[str, list[metrics.Row]]:
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    columns = {
        rule: metrics.per_machine(ids, labels, np.array([clip.scores[rule] for clip in clips]))
        for rule in SCORES
    }
    return {rule: rows for rule, rows in columns.items() if rows}


def write_results(folder: Path, evaluation: Evaluation) -> None:
    """Writes `results/`: the evaluator's CSVs, all scores, and the summary."""
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    for stale in results.glob("anomaly_score_*.csv"):  # the evaluator counts these files
        stale.unlink()
    clips, summary = evaluation.clips, _summary_with(_estimates(folder, evaluation), evaluation)
    rule, machine_type, data = summary["rule"], summary["machine_type"], _kind(summary)
    for machine_id in sorted({clip.machine_id for clip in clips}):
        rows = [(c.name, c.scores[rule]) for c in clips if c.machine_id == machine_id]
        write_csv(results / f"anomaly_score_{machine_type}_{machine_id}.csv", rows)
    header = ("path", "machine_id", "label", "score", *SCORES, "data")
    scores = [
        (path, c.machine_id, _label(c), c.scores[rule], *c.scores.values(), data)
        for path, c in zip(evaluation.paths, clips, strict=True)
    ]
    write_csv(results / "scores.csv", [header, *scores])
    table = [
        (machine_id.removeprefix("id_"), row["auc"], row["pauc"])
        for machine_id, row in summary["metrics"].get(rule, {}).items()
    ]
    heading = (machine_type, data) if data == "SIMULATED" else (machine_type,)
    write_csv(results / "result.csv", [heading, ("id", "AUC", "pAUC"), *table])
    write_text(results / "summary.json", json.dumps(summary, indent=2))


def write_evaluation_report(folder: Path, evaluation: Evaluation, workdir: Path) -> None:
    """Writes report.html into `folder`, about the run in `workdir`."""
    estimates = _estimates(folder, evaluation)
    summary = _summary_with(estimates, evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    write_report(
        folder / "report.html",
        title=f"{summary['machine_type']}: {workdir.absolute().name}",
        simulated=_kind(summary) == "SIMULATED",
        rule=summary["rule"],
        summary={key: value for key, value in summary.items() if key != "metrics"},
        history=read_metrics(workdir),
        proxy_auc=summary.get("proxy_auc", {}),
        stand_ins=_severity_curves(estimates, summary["rule"]),
        clips=evaluation.clips,
        columns=evaluation.columns,
        examples=evaluation.examples,
        hop_seconds=evaluation.hop_seconds,
    )


def _estimates(folder: Path, evaluation: Evaluation) -> list[Estimate]:
    """Those that were written into this folder, else the run's own."""
    return read_estimates(folder / ASSESSMENT) or evaluation.estimates


def _summary_with(estimates: Sequence[Estimate], evaluation: Evaluation) -> dict[str, Any]:
    outlook = {"proxy_auc": proxy_auc(estimates)} if estimates else {}
    return evaluation.summary | outlook


def _severity_curves(
    estimates: Sequence[Estimate], rule: str
) -> dict[str, Float[np.ndarray, "2 severity"]]:
    """Severity and AUC by one rule, by stand-in."""
    points = {
        stand_in: [
            (e.severity, e.auc) for e in estimates if (e.stand_in, e.rule) == (stand_in, rule)
        ]
        for stand_in in dict.fromkeys(e.stand_in for e in estimates)
    }
    return {stand_in: np.array(sorted(values)).T for stand_in, values in points.items()}


def describe(evaluation: Evaluation) -> str:
    """The lines that a run ends with."""
    summary = evaluation.summary
    title = f"{summary['machine_type']}, {_kind(summary)} recordings, rule `{summary['rule']}`"
    missing = {clip.machine_id for clip in evaluation.clips}
    missing -= {row.machine_id for rows in evaluation.columns.values() for row in rows}
    lines = [title]
    if evaluation.columns:
        lines.append(metrics.table(evaluation.columns))
    if missing:
        ids = ", ".join(sorted(missing))
        lines.append(f"No AUC for {ids}: it takes labelled normal and anomalous test clips.")
    return "\n".join(lines)


def _kind(summary: dict[str, Any]) -> str:
    """Real only if the model and the test clips both are."""
    return "SIMULATED" if "SIMULATED" in (summary["data"], summary["trained_on"]) else "real"


def _label(clip: ScoredClip) -> int | str:
    return "" if clip.label is None else clip.label
