"""What normal clips tell of the scores: statistics fitted on them, and the rules that need them.

Nothing here has seen an anomaly. The statistics are the training clips'; held-out normal clips say
how far from them the score of a clip lies that was not trained on.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_ndtr
from sklearn.covariance import LedoitWolf

from flowasd.errors import UserError
from flowasd.files import write_bytes
from flowasd.scoring import RULES, MachineNLL

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
JOINED = ("mean", "spectrum")  # by `combined`: how likely the frames are, and whose clip it is
SCORES = (*RULES, "typicality", "profile", "ratio", "spectrum", "combined")
FOLDS = 5  # of the training clips: statistics flatter the clips that they were fitted on
FEW = 3  # training clips; an ID of fewer tells nothing of its spread
SPREAD_FLOOR = 1e-6  # what never moves (the ratio where there is one ID) has no spread of its own

PerMachine = Float[np.ndarray, "clip machine"]
PerClip = Float[np.ndarray, " clip"]
Machine = Int[np.ndarray, " clip"]


class Clips(NamedTuple):
    """Log-mels in dB, frame NLLs under every ID, and machine indices of some clips."""

    log_mels: Sequence[Float[np.ndarray, "_ mel"]]
    nlls: Sequence[MachineNLL]
    machine: Machine

    def where(self, wanted: Bool[np.ndarray, " clip"]) -> "Clips":
        """The clips that are wanted."""
        chosen = np.flatnonzero(wanted).tolist()
        log_mels, nlls = ([values[i] for i in chosen] for values in (self.log_mels, self.nlls))
        return Clips(log_mels, nlls, self.machine[chosen])


class TiedGaussian(NamedTuple):
    """A Gaussian a machine ID over features of clips, all of one covariance.

    The smallest conditional flow: one linear map for all IDs, and a base density whose mean
    depends on the ID. Between two IDs it decides as linear discriminant analysis does.

    Attributes:
        mean: Mean of every ID, in units of `scale`.
        scale: Standard deviation of every feature within the IDs.
        precision: Inverse of the covariance, in the same units.
    """

    mean: Float[np.ndarray, "machine feature"]
    scale: Float[np.ndarray, " feature"]
    precision: Float[np.ndarray, "feature feature"]

    def nll(self, features: Float[np.ndarray, "clip feature"]) -> PerMachine:
        """NLL of clips under every ID in nats, but for what is the same for all clips and IDs."""
        away = features[:, None] / self.scale - self.mean
        return 0.5 * np.einsum("cmf,fg,cmg->cm", away, self.precision, away, optimize=True)


class Normality(NamedTuple):
    """Statistics of normal clips.

    Attributes:
        level: Mean frame NLL of every ID's clips.
        profile: Density of the quantiles over time of a clip's frame NLL.
        spectrum: Density of the quantiles over time of a clip's log-mel, band by band.
    """

    level: Float[np.ndarray, " machine"]
    profile: TiedGaussian
    spectrum: TiedGaussian


class Calibration(NamedTuple):
    """What turns frame NLLs and log-mels of a clip into its scores by every rule.

    Attributes:
        step: Training step of the flow that it belongs to.
        normality: Statistics of the training clips.
        location: Where unseen normal clips of every ID lie by each of the `JOINED` rules.
        spread: How far they scatter.
        floor: The lowest p-value that the number of normal clips can bear out.
    """

    step: int
    normality: Normality
    location: Float[np.ndarray, "machine joined"]
    spread: Float[np.ndarray, "machine joined"]
    floor: float


def calibrate(train: Clips, held_out: Clips, step: int) -> Calibration:
    """Fits a calibration.

    Location and spread are those of an ID's training clips, each scored by statistics of others.
    The flow has seen these clips, so the held-out ones, too few to tell anything of one ID,
    correct both by one shift and one factor for all IDs. An ID of fewer than `FEW` clips takes
    the mean spread of the others, and no part in the correction.

    Args:
        train: Clips that the flow was trained on; every ID has one at least.
        held_out: Normal clips that it was not trained on.
        step: Training step of the flow.
    """
    normality = fit_normality(train)
    seen = _joined(_cross_fitted(train, normality))
    n_machines = len(normality.level)
    location = np.stack([seen[train.machine == m].mean(0) for m in range(n_machines)])
    spread = np.stack([seen[train.machine == m].std(0) for m in range(n_machines)])
    spread = np.maximum(spread, SPREAD_FLOOR)
    few = np.bincount(train.machine, minlength=n_machines) < FEW
    spread[few] = 1.0 if few.all() else spread[~few].mean(0)
    unseen = _joined(scores_without_calibration(held_out, normality))
    z = (unseen - location[held_out.machine]) / spread[held_out.machine]
    z = z[~few[held_out.machine]]
    shift = z.mean(0) if len(z) else 0.0
    factor = np.maximum(z.std(0), 1.0) if len(z) else 1.0  # few may lie together by chance
    floor = 1 / (1 + len(train.machine))
    return Calibration(step, normality, location + shift * spread, spread * factor, floor)


def fit_normality(clips: Clips) -> Normality:
    """Statistics of normal clips; every ID has one at least."""
    n_machines = clips.nlls[0].shape[1]
    mean_nll = np.array([n[:, m].mean() for n, m in zip(clips.nlls, clips.machine, strict=True)])
    level = np.array([mean_nll[clips.machine == m].mean() for m in range(n_machines)])
    densities = (
        fit_tied_gaussian(features, clips.machine, n_machines)
        for features in (profile_features(clips), spectrum_features(clips.log_mels))
    )
    return Normality(level, *densities)


def fit_tied_gaussian(
    features: Float[np.ndarray, "clip feature"], machine: Machine, n_machines: int
) -> TiedGaussian:
    """Means, and one covariance shrunk as Ledoit & Wolf (2004) have it."""
    mean = np.stack([features[machine == m].mean(0) for m in range(n_machines)])
    away = features - mean[machine]
    scale = np.maximum(away.std(0), SPREAD_FLOOR)
    covariance = LedoitWolf(assume_centered=True).fit(away / scale).covariance_
    precision = np.linalg.pinv(covariance, hermitian=True)  # 0 where all clips are the same
    return TiedGaussian(mean / scale, scale, precision)


def profile_features(clips: Clips) -> Float[np.ndarray, "clip quantile"]:
    """Quantiles over time of every clip's frame NLL under its own ID."""
    own_nlls = (nll[:, m] for nll, m in zip(clips.nlls, clips.machine, strict=True))
    return np.stack([np.quantile(nll, QUANTILES) for nll in own_nlls])


def spectrum_features(
    log_mels: Sequence[Float[np.ndarray, "_ mel"]],
) -> Float[np.ndarray, "clip feature"]:
    """Quantiles over time of every mel band of every clip."""
    return np.stack([np.quantile(log_mel, QUANTILES, axis=0).ravel() for log_mel in log_mels])


def scores_without_calibration(clips: Clips, normality: Normality) -> dict[str, PerClip]:
    """Scores by every rule but `combined`; the larger, the more anomalous.

    `typicality` is the mean distance of the frame NLLs from their normal level, `profile` the NLL
    of their quantiles. `ratio` is the mean NLL under a clip's own ID less that under the best
    other one, `spectrum` the NLL of the log-mel's quantiles less its mean over all IDs: how far the
    clip has moved from its own machine towards the others. Where there is one ID, both are 0.
    """
    own_nlls = [nll[:, m] for nll, m in zip(clips.nlls, clips.machine, strict=True)]
    level = normality.level[clips.machine]
    mean_nll = np.stack([nll.mean(0) for nll in clips.nlls])
    spectrum = normality.spectrum.nll(spectrum_features(clips.log_mels))
    return {name: np.array([rule(nll) for nll in own_nlls]) for name, rule in RULES.items()} | {
        "typicality": np.array([abs(n - at).mean() for n, at in zip(own_nlls, level, strict=True)]),
        "profile": own(normality.profile.nll(profile_features(clips)), clips.machine),
        "ratio": own(mean_nll, clips.machine) - best_other(mean_nll, clips.machine),
        "spectrum": own(spectrum, clips.machine) - spectrum.mean(1),
    }


def clip_scores(clips: Clips, calibration: Calibration) -> dict[str, PerClip]:
    """Scores by every rule; the larger, the more anomalous.

    `combined` is minus the logarithm of the product of the p-values of the `JOINED` rules (Fisher's
    method), each that of a normal distribution with the location and spread of normal clips. No
    p-value counts as lower than `floor`, so that no rule alone outvotes the others by a tail
    that nobody has seen.
    """
    if not clips.log_mels:
        return {rule: np.zeros(0) for rule in SCORES}
    scores = scores_without_calibration(clips, calibration.normality)
    z = (_joined(scores) - calibration.location[clips.machine]) / calibration.spread[clips.machine]
    return scores | {"combined": -np.maximum(log_ndtr(-z), math.log(calibration.floor)).sum(1)}


def own(values: PerMachine, machine: Machine) -> PerClip:
    """Each clip's value under its own ID."""
    return values[np.arange(len(machine)), machine]


def best_other(values: PerMachine, machine: Machine) -> PerClip:
    """Each clip's lowest value under another ID; its own where there is no other."""
    if values.shape[1] == 1:
        return values[:, 0]
    others = values.copy()
    others[np.arange(len(machine)), machine] = np.inf
    return others.min(1)


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Writes the arrays as one compressed npz file."""
    arrays = calibration._asdict()
    normality = arrays.pop("normality")._asdict()
    for name in ("profile", "spectrum"):
        density = normality.pop(name)._asdict()
        arrays |= {f"{name}.{key}": array for key, array in density.items()}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays, **normality)
    write_bytes(path, file.getvalue())


def stored_step(path: Path) -> int:
    """The training step that a stored calibration belongs to."""
    with np.load(path) as arrays:
        return int(arrays["step"])


def load_calibration(path: Path, step: int) -> Calibration:
    """Reads what `save_calibration` wrote.

    Raises:
        UserError: If there is none for this training step.
    """
    if not path.exists() or stored_step(path) != step:
        raise UserError(
            f"{path} is not there for step {step}: training has not ended; repeat its command"
        )
    with np.load(path) as arrays:
        profile, spectrum = (
            TiedGaussian(*(arrays[f"{name}.{key}"] for key in TiedGaussian._fields))
            for name in ("profile", "spectrum")
        )
        normality = Normality(arrays["level"], profile, spectrum)
        floor = float(arrays["floor"])
        return Calibration(step, normality, arrays["location"], arrays["spread"], floor)


def _joined(scores: dict[str, PerClip]) -> Float[np.ndarray, "clip joined"]:
    return np.stack([scores[rule] for rule in JOINED], 1)


def _cross_fitted(clips: Clips, normality: Normality) -> dict[str, PerClip]:
    """Scores of clips by statistics of the others; an ID's only clip keeps those of all."""
    scores = scores_without_calibration(clips, normality)
    rank = np.zeros(len(clips.machine), int)
    for m in np.unique(clips.machine):
        rank[clips.machine == m] = np.arange((clips.machine == m).sum())
    alone = np.bincount(clips.machine)[clips.machine] == 1
    for fold in range(FOLDS):
        left_out = (rank % FOLDS == fold) & ~alone
        if left_out.any():
            fitted = fit_normality(clips.where(~left_out))
            for rule, values in scores_without_calibration(clips.where(left_out), fitted).items():
                scores[rule][left_out] = values
    return scores
