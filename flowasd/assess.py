"""Knowing without labels: how well a detector tells faults put into held-out normal clips."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from flowasd import metrics
from flowasd.calibration import SCORES
from flowasd.data.audio import read_audio
from flowasd.data.dcase import Clip
from flowasd.data.faults import FAULTS, SAMPLE_RATE
from flowasd.data.source import open_source
from flowasd.detector import Detector
from flowasd.files import write_csv
from flowasd.frontend import log_mel_batch
from flowasd.typing import Config

SEVERITIES = (0.2, 0.4, 0.6, 0.8, 1.0)
SEED = 0  # of the faults: every detector is assessed on the same ones


class Estimate(NamedTuple):
    """AUC and pAUC, averaged over the machine IDs, of one rule on one fault of one severity."""

    fault: str
    severity: float
    rule: str
    auc: float
    pauc: float


def assess(detector: Detector) -> list[Estimate]:
    """Scores held-out normal clips as they are, and with every fault at every severity.

    The clips are those of the validation split; test clips are not looked at. An ID without a
    validation clip has no part in the averages.

    Args:
        detector: The detector, whose config tells where the recordings are.

    Raises:
        UserError: If the run's recordings cannot be read any more.
    """
    source = open_source(detector.config.data, detector.config.seed)
    clips = source.splits["validation"]
    recordings = [read_audio(clip.path, SAMPLE_RATE) for clip in clips]
    normal = _scores(detector, clips, recordings)
    estimates = []
    for fault, severity in tqdm(list(product(FAULTS, SEVERITIES)), unit="fault", desc="assess"):
        rng = np.random.default_rng(SEED)
        faulty = [FAULTS[fault](samples, severity, rng) for samples in recordings]
        for rule, scores in _scores(detector, clips, faulty).items():
            ids = [clip.machine_id for clip in clips]
            labels = [0] * len(clips) + [1] * len(clips)
            rows = metrics.per_machine(ids + ids, labels, np.concatenate([normal[rule], scores]))
            mean = metrics.average(rows)
            estimates.append(Estimate(fault, severity, rule, mean.auc, mean.pauc))
    return estimates


def _scores(
    detector: Detector, clips: Sequence[Clip], recordings: Sequence[Float[np.ndarray, "_"]]
) -> dict[str, Float[np.ndarray, " clip"]]:
    """Scores of recordings, by every rule."""
    log_mels = [
        np.asarray(log_mel_batch(jnp.asarray(samples[None], jnp.float32), detector.frontend))[0]
        for samples in recordings
    ]
    rows = detector.clip_scores(detector.clips(log_mels, [clip.machine_id for clip in clips]))
    return {rule: np.array([row[rule] for row in rows]) for rule in SCORES}


def assess_to_csv(workdir: Path, folder: Path, config: Config | None = None) -> str:
    """Assesses the detector of a run and writes results/assess.csv into `folder`.

    Returns:
        What to tell the user.
    """
    detector = Detector.load(workdir, config)
    estimates = assess(detector)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    path = folder / "results" / "assess.csv"
    write_csv(path, [Estimate._fields, *estimates])
    heading = f"Faults put into held-out normal clips, {detector.kind} recordings"
    table = describe(estimates, detector.config.score.rule)
    return f"{heading}\n{table}\nAll rules: {path}"


def describe(estimates: Sequence[Estimate], rule: str) -> str:
    """A table of the AUC by one rule, in percent: a line a fault, a column a severity."""
    lines = [f"{'AUC by ' + rule:14}" + "".join(f"{s:7.1f}" for s in SEVERITIES)]
    for fault in FAULTS:
        aucs = [100 * e.auc for e in estimates if (e.fault, e.rule) == (fault, rule)]
        lines.append(f"{fault:14}" + "".join(f"{auc:7.1f}" for auc in aucs))
    means = {r: 100 * float(np.mean([e.auc for e in estimates if e.rule == r])) for r in SCORES}
    lines.append("mean by rule: " + ", ".join(f"{r} {mean:.1f}" for r, mean in means.items()))
    return "\n".join(lines)
