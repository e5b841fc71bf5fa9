"""A run's checkpoint and test clips: scores, metrics, and a summary of every number."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.data.clips import Clip, short_names
from flowasd.data.ground_truth import read_ground_truth, true_clips
from flowasd.data.machine_ids import full_id
from flowasd.data.source import DataConfig, Source, open_test
from flowasd.detector import Detector
from flowasd.evaluation import metrics
from flowasd.evaluation.alarms import decisions
from flowasd.evaluation.assess import ASSESSMENT, Estimate, proxy_auc, read_estimates
from flowasd.evaluation.examples import Example, ScoredClip, choose, finest
from flowasd.evaluation.official import TABLES, Judgement, Table
from flowasd.evaluation.samples import Spectra, sample_spectra
from flowasd.explaining import explain_heard
from flowasd.features.cache import Features, source_features
from flowasd.features.frontend import standardise
from flowasd.features.hearing import hear_all
from flowasd.run.devices import require_devices
from flowasd.run.metric_log import Row, read_metrics
from flowasd.run.splits import CALIBRATING, KEPT, Opened, open_recorded, refuse_seen
from flowasd.scoring.decision import alarm_threshold, gamma_threshold
from flowasd.scoring.inversion import inversion_error
from flowasd.scoring.rules import RULES, Judged, check_finite

PACKAGES = ("flowasd", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Evaluation:
    """What a detector says of test clips.

    Attributes:
        workdir: Folder of the run.
        clips: Every clip with its score by every rule.
        paths: Name of every clip with its folder, and with those above it if need be.
        examples: Clips that show what the detector does.
        columns: AUC and pAUC by every rule, a row for each ID; empty without labels.
        summary: Every number, and how it came to be.
        history: Logged steps of the training.
        estimates: Of the run's assessment; empty if there was none.
        gamma_thresholds: The threshold of DCASE's baselines, of every ID that has test clips.
        official: The figures as the organisers' evaluator of this edition defines them.
        thresholds: The score above which a clip is an alarm, of every such ID; infinite where the
            normal clips are too few for any alarm.
        spectra: What the flow samples of every such ID beside its test clips.
        config: The settings of the run.
    """

    workdir: Path
    clips: list[ScoredClip]
    paths: list[str]
    examples: list[Example]
    columns: dict[str, list[metrics.Row]]
    summary: dict[str, Any]
    history: list[Row]
    estimates: list[Estimate]
    gamma_thresholds: dict[str, float]
    official: Table
    thresholds: dict[str, float] = field(default_factory=dict)
    spectra: dict[str, Spectra] = field(default_factory=dict)
    config: RunConfig | None = None

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
    labels: Path | None = None,
    *,
    illustrated: bool = True,
) -> Evaluation:
    """Scores test clips with the best checkpoint of a run.

    Args:
        workdir: Folder of the run.
        config: Settings of the scoring, and a data set whose `test/` is scored instead of the
            run's own test clips; without it, everything is as the run was trained.
        folder: Folder of the results, in which an assessment may be; by default the workdir.
        alpha: Rate of false alarms that decisions allow; by default that of the config.
        labels: The organisers' list of labels of an evaluation set. It is read after the scoring.
        illustrated: Whether examples and samples are made, which only a report needs.

    Raises:
        UserError: If there is no checkpoint; if the config is of another model; if the data cannot
            be read, have machine IDs that the model has not seen, or clips that it has seen; or if
            the assessment is damaged, or the labels are of other clips.
    """
    detector = Detector.load(workdir, config)
    start = time.perf_counter()
    source, features = _open_test(workdir, detector)
    bands, test = features["test"].clips(), source.splits["test"]
    rule = detector.config.score.rule
    ready = time.perf_counter()
    judged = detector.judge(bands, [clip.machine_id for clip in test])
    for clip, own in zip(test, judged, strict=True):
        check_finite(own, clip.path)
    times = {"features_s": ready - start, "score_s": time.perf_counter() - ready}
    if labels is not None:
        source = _with_labels(source, labels)
    names, paths = (short_names([clip.path for clip in test], parts) for parts in (1, 2))
    known = zip(names, source.splits["test"], judged, strict=True)
    clips = [_scored(name, clip, own, rule) for name, clip, own in known]
    columns, history = _metric_columns(clips), read_metrics(workdir)
    estimates = read_estimates((folder or workdir) / ASSESSMENT)
    estimates = estimates or read_estimates(workdir / ASSESSMENT)
    summary = _summary(detector, source, clips, columns, times, history)
    alpha = detector.config.score.alpha if alpha is None else alpha
    summary["decisions"] = decisions(detector, clips, alpha)
    summary["inversion_error"] = _inversion_error(detector, source, features)
    normal_scores = {
        machine_id: detector.normal_scores(machine_id)
        for machine_id in sorted({clip.machine_id for clip in clips})
    }
    thresholds = {m: alarm_threshold(normal, alpha) for m, normal in normal_scores.items()}
    gamma_thresholds = {m: gamma_threshold(normal) for m, normal in normal_scores.items()}
    official = _official(source.edition, clips, rule, gamma_thresholds)
    summary["official"] = {
        "edition": source.edition,
        "score": official.score(),
        "values": official.values(),
    }
    lowest = finest(summary["decisions"])
    chosen = choose(clips, rule, thresholds, alpha, lowest) if illustrated else {}
    shown = tqdm(chosen.items(), "explain", unit="clip", disable=None if chosen else True)
    return Evaluation(
        workdir=workdir,
        clips=clips,
        paths=paths,
        examples=[_example(detector, why, test[i], clips[i]) for i, why in shown],
        columns=columns,
        summary=summary | ({"proxy_auc": proxy_auc(estimates)} if estimates else {}),
        history=history,
        estimates=estimates,
        gamma_thresholds=gamma_thresholds,
        official=official,
        thresholds=thresholds,
        spectra=_spectra(detector, clips, bands) if illustrated else {},
        config=detector.config,
    )


def _with_labels(source: Source, labels: Path) -> Source:
    test = source.splits["test"]
    truth = true_clips([c.name for c in test], source.machine_type, read_ground_truth(labels))
    told = tuple(
        replace(clip, label=true.label, domain=clip.domain or true.domain)
        for clip, true in zip(test, truth, strict=True)
    )
    return source._replace(labelled=True, splits={**source.splits, "test": told})


def _scored(name: str, clip: Clip, judged: Judged, rule: str) -> ScoredClip:
    known = name, clip.machine_id, clip.label
    return ScoredClip(*known, judged.scores, judged.p_values[rule], clip.domain, clip.section)


def _official(
    edition: int, clips: Sequence[ScoredClip], rule: str, thresholds: Mapping[str, float]
) -> Table:
    """The figures of the clips that have a label."""
    judgements = [
        Judgement(
            c.group, c.domain, c.label, c.scores[rule], c.scores[rule] > thresholds[c.machine_id]
        )
        for c in clips
        if c.label is not None
    ]
    return TABLES[edition](judgements)


def _example(detector: Detector, why: str, clip: Clip, scored: ScoredClip) -> Example:
    (heard,) = hear_all([clip.path], detector.frontend, detector.config.data)
    explained = detector.reference is not None
    return Example(
        why=why,
        clip=scored,
        samples=heard.samples,
        rate=detector.frontend.sample_rate,
        explanation=explain_heard(detector, heard, scored.machine_id) if explained else None,
    )


def _spectra(
    detector: Detector, clips: Sequence[ScoredClip], bands: Sequence[Float[np.ndarray, "_ band"]]
) -> dict[str, Spectra]:
    """Of normal clips where labels are known, else of all."""
    spectra = {}
    for machine_id in sorted({clip.machine_id for clip in clips}):
        own = [i for i, clip in enumerate(clips) if clip.machine_id == machine_id]
        some = [i for i in own if clips[i].label == 0] or own
        spectra[machine_id] = sample_spectra(detector, machine_id, [bands[i] for i in some])
    return spectra


def _open_test(workdir: Path, detector: Detector) -> Opened:
    """The run's own clips, or the test clips of a data set that was named later."""
    config = detector.config
    if _place(config.data) == _place(detector.trained_on):
        source, features = open_recorded(workdir, config)
    else:
        source = _with_full_ids(open_test(config.data), detector)
        source, features = source_features(source, config.frontend, config.data)
    recordings = features["test"].recordings
    refuse_seen(workdir, source.splits["test"], recordings, [*KEPT, CALIBRATING])
    return source, features


def _place(data: DataConfig) -> tuple[str, str, str]:
    return data.root, data.machine_type, data.test_on


def _with_full_ids(source: Source, detector: Detector) -> Source:
    """The clips under the IDs that the detector knows, which another data set may shorten."""
    known = detector.known_ids
    test = tuple(
        replace(clip, machine_id=full_id(clip.machine_id, known, f"{clip.path}: "))
        for clip in source.splits["test"]
    )
    return source._replace(splits={"test": test})


def _inversion_error(
    detector: Detector, source: Source, features: Mapping[str, Features]
) -> float | None:
    """Of the validation clips; `None` where only test clips are at hand."""
    if "validation" not in features:
        return None
    clips = [standardise(clip, detector.statistics) for clip in features["validation"].clips()]
    machine, length = source.machine_index("validation"), detector.config.train.patch_length
    return inversion_error(detector.flow, clips, machine, length)


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
        "device": require_devices(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def _metric_columns(clips: Sequence[ScoredClip]) -> dict[str, list[metrics.Row]]:
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    scores = {rule: np.array([clip.scores[rule] for clip in clips]) for rule in RULES}
    columns = metrics.per_rule(ids, labels, scores)
    return {rule: rows for rule, rows in columns.items() if rows}
