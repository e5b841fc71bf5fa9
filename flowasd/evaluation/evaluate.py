"""A run's checkpoint and test clips: scores, metrics, and a summary of every number."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from flowasd.config import RunConfig
from flowasd.data.source import Source, open_test
from flowasd.detector import Detector
from flowasd.evaluation import metrics
from flowasd.evaluation.alarms import Decided, decisions, describe_decisions
from flowasd.evaluation.assess import Estimate, proxy_auc, read_estimates
from flowasd.features.cache import Features, source_features
from flowasd.run.metric_log import Row, read_metrics
from flowasd.run.splits import CALIBRATING, KEPT, open_recorded, refuse_seen
from flowasd.scoring.decision import gamma_threshold
from flowasd.scoring.rules import RULES

ASSESSMENT = Path("results", "assess.csv")
EXAMPLES = 3  # clips with the highest scores, shown in the report
PACKAGES = ("flowasd", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


@dataclass(frozen=True)
class ScoredClip:
    """A clip with its score by every rule; label 0 is normal, 1 anomalous, `None` unknown.

    `p_value` is that of the score by the configured rule.
    """

    name: str
    machine_id: str
    label: int | None
    scores: dict[str, float]
    p_value: float


@dataclass(frozen=True)
class Example:
    """A clip to be shown as a picture: `bands` in dB, `frame_nll` in nats per dimension."""

    name: str
    machine_id: str
    label: int | None
    score: float
    bands: Float[np.ndarray, "time band"]
    frame_nll: Float[np.ndarray, " time"]


@dataclass(frozen=True)
class Evaluation:
    """What a detector says of test clips.

    Attributes:
        workdir: Folder of the run.
        clips: Every clip with its score by every rule.
        paths: Path of every clip below the machine type's folder.
        examples: The clips with the highest scores.
        columns: AUC and pAUC by every rule, a row for each ID; empty without labels.
        summary: Every number, and how it came to be.
        history: Logged steps of the training.
        estimates: Of the run's assessment; empty if there was none.
        hop_seconds: Time between two frames.
        gamma_thresholds: The threshold of DCASE's baselines, of every ID that has test clips.
    """

    workdir: Path
    clips: list[ScoredClip]
    paths: list[str]
    examples: list[Example]
    columns: dict[str, list[metrics.Row]]
    summary: dict[str, Any]
    history: list[Row]
    estimates: list[Estimate]
    hop_seconds: float
    gamma_thresholds: dict[str, float]

    @property
    def rule(self) -> str:
        """The rule whose values are the score."""
        return self.summary["rule"]

    @property
    def alpha(self) -> float:
        """The rate of false alarms that decisions allow."""
        return self.summary["decisions"]["alpha"]

    @property
    def kind(self) -> str:
        """`"real"` only if the model and the test clips both are, else `"SIMULATED"`."""
        simulated = "SIMULATED" in (self.summary["data"], self.summary["trained_on"])
        return "SIMULATED" if simulated else "real"


def evaluate(
    workdir: Path,
    config: RunConfig | None = None,
    folder: Path | None = None,
    alpha: float | None = None,
) -> Evaluation:
    """Scores test clips with the best checkpoint of a run.

    Args:
        workdir: Folder of the run.
        config: Settings of the scoring, and a data set whose `test/` is scored instead of the
            run's own test clips; without it, everything is as the run was trained.
        folder: Folder of the results, in which an assessment may be; by default the workdir.
        alpha: Rate of false alarms that decisions allow; by default that of the config.

    Raises:
        UserError: If there is no checkpoint; if the config is of another model; if the data cannot
            be read, have machine IDs that the model has not seen, or clips that it has seen; or if
            the assessment is damaged.
    """
    detector = Detector.load(workdir, config)
    start = time.perf_counter()
    source, features = _open_test(workdir, detector)
    bands, test, rule = features.clips(), source.splits["test"], detector.config.score.rule
    ready = time.perf_counter()
    judged = detector.judge(bands, [clip.machine_id for clip in test])
    clips = [
        ScoredClip(clip.name, clip.machine_id, clip.label, own.scores, own.p_values[rule])
        for clip, own in zip(test, judged, strict=True)
    ]
    times = {"features_s": ready - start, "score_s": time.perf_counter() - ready}
    highest = np.argsort([-clip.scores[rule] for clip in clips])[:EXAMPLES]
    columns, history = _metric_columns(clips), read_metrics(workdir)
    estimates = read_estimates((folder or workdir) / ASSESSMENT)
    estimates = estimates or read_estimates(workdir / ASSESSMENT)
    summary = _summary(detector, source, clips, columns, times, history)
    summary["decisions"] = decisions(
        detector,
        [Decided(clip.machine_id, clip.label, clip.p_value) for clip in clips],
        alpha or detector.config.score.alpha,
    )
    return Evaluation(
        workdir=workdir,
        clips=clips,
        paths=[f"{clip.path.parent.name}/{clip.name}" for clip in test],
        examples=[
            Example(c.name, c.machine_id, c.label, c.scores[rule], bands[i], judged[i].nll)
            for i, c in ((i, clips[i]) for i in highest)
        ],
        columns=columns,
        summary=summary | ({"proxy_auc": proxy_auc(estimates)} if estimates else {}),
        history=history,
        estimates=estimates,
        hop_seconds=detector.config.frontend.seconds_per_frame,
        gamma_thresholds={
            machine_id: gamma_threshold(detector.normal_scores(machine_id))
            for machine_id in {clip.machine_id for clip in clips}
        },
    )


def _open_test(workdir: Path, detector: Detector) -> tuple[Source, Features]:
    """The run's own test clips, or those of a data set that was named later."""
    config = detector.config
    if config.data.root == detector.trained_root:
        source, features = open_recorded(workdir, config)
    else:
        source = open_test(config.data)
        features = source_features(source, config.frontend, config.data.cache_folder)
    test = features["test"]
    refuse_seen(workdir, source.splits["test"], test.recordings, [*KEPT, CALIBRATING])
    return source, test


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
        "steps": max(validated, default=None),
        "validation_nll": validated.get(detector.step),
        "validation_nll_at_start": validated.get(0),
        "test_nll_normal": sum(normal) / len(normal) if normal else None,
        "times": {"train_s": history[-1]["seconds"] if history else None} | times,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def _metric_columns(clips: Sequence[ScoredClip]) -> dict[str, list[metrics.Row]]:
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    columns = {
        rule: metrics.per_machine(ids, labels, np.array([clip.scores[rule] for clip in clips]))
        for rule in RULES
    }
    return {rule: rows for rule, rows in columns.items() if rows}


def describe(evaluation: Evaluation) -> str:
    """Returns the lines that a run ends with."""
    summary = evaluation.summary
    title = f"{summary['machine_type']}, {evaluation.kind} recordings, rule `{evaluation.rule}`"
    title += f"\n{describe_step(summary)}"
    missing = {clip.machine_id for clip in evaluation.clips}
    missing -= {row.machine_id for rows in evaluation.columns.values() for row in rows}
    lines = [title]
    if evaluation.columns:
        lines.append(metrics.table(evaluation.columns))
    if missing:
        ids = ", ".join(sorted(missing))
        lines.append(f"No AUC for {ids}: it takes labelled normal and anomalous test clips.")
    lines.append(describe_decisions(summary["decisions"]))
    return "\n".join(lines)


def describe_step(summary: Mapping[str, Any]) -> str:
    """Says which training step was kept, and why."""
    best, steps = summary["best_step"], summary["steps"]
    lowest, start = summary["validation_nll"], summary["validation_nll_at_start"]
    if lowest is None or start is None:  # the curves of the run were removed
        return f"Step {best} was kept."
    chance = "by more than chance explains (paired t test over held-out clips at 1 %)"
    if best == 0:
        return (
            f"The start, a Gaussian, was kept: {steps} steps did not lower its held-out NLL, "
            f"{start:.3f}, {chance}."
        )
    return (
        f"Step {best} of {steps} was kept: its held-out NLL, {lowest:.3f}, is lower than that of "
        f"the start, a Gaussian, {start:.3f}, {chance}."
    )
