"""The Gaussian that a flow starts from: a mean for each ID, and one covariance within the IDs."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from flowasd.features.cache import Features
from flowasd.features.frontend import STD_FLOOR, Standardisation, standardise

FOLDS = 5
FACTORS = (1, 2, 4, 8, 16)
FEW_FRAMES = 2000  # up to which structures are compared; more frames need none
MOST_FRAMES = 50_000  # that a covariance is estimated from
TINY = 1e-12  # the least variance of the diagonal beside factors
STOP, STOP_COMPARING = 0.01, 0.1  # nats over all frames that a step of the EM algorithm must gain

Band = Float[np.ndarray, " band"]
Square = Float[np.ndarray, "band band"]


class Gaussian(NamedTuple):
    """A Gaussian over the bands of a frame for each machine ID, all with one covariance.

    Attributes:
        mean: Mean of every ID.
        covariance: Covariance within the IDs.
        structure: How it was estimated, such as `"Ledoit-Wolf"`.
    """

    mean: Float[np.ndarray, "machine band"]
    covariance: Square
    structure: str

    @property
    def precision_factor(self) -> Square:
        """The upper triangular `U` with `U^T U` the inverse of the covariance."""
        return np.linalg.cholesky(np.linalg.inv(self.covariance)).T


class Frames(NamedTuple):
    """Frames with the clip and the machine index of each."""

    x: Float[np.ndarray, "frame band"]
    clip: Int[np.ndarray, " frame"]
    machine: Int[np.ndarray, " frame"]

    @property
    def n_clips(self) -> int:
        """Number of clips."""
        return len(np.unique(self.clip))

    def means(self, n_machines: int) -> Float[np.ndarray, "machine band"]:
        """Returns the mean frame of every ID, and 0 for an ID without frames."""
        total = np.zeros((n_machines, self.x.shape[1]))
        np.add.at(total, self.machine, self.x)
        count = np.bincount(self.machine, minlength=n_machines)
        return total / np.maximum(count, 1)[:, None]

    def where(self, wanted: np.ndarray) -> "Frames":
        """Returns the frames that are wanted."""
        return Frames(self.x[wanted], self.clip[wanted], self.machine[wanted])


Structure = Callable[[Frames], Square]


def ledoit_wolf(away: Frames) -> Square:
    """Returns the covariance of centred frames, shrunk as Ledoit & Wolf (2004) propose.

    The share of the sphere is `2 / (clips + 1)` at least, because the estimate of the share is
    itself poor where there are few clips. For a single clip that is the whole.
    """
    from sklearn.covariance import LedoitWolf, shrunk_covariance  # its import takes a second

    share = 2 / (away.n_clips + 1)
    if len(away.x) > 1:
        share = max(share, float(LedoitWolf(assume_centered=True).fit(away.x).shrinkage_))
    return shrunk_covariance(away.x.T @ away.x / len(away.x), shrinkage=share)


def factors(count: int, stop: float = STOP) -> Structure:
    """Returns the estimate of a covariance of a number of factors plus a diagonal.

    It is the EM algorithm of Barber (2012, Algorithm 21.1), as scikit-learn's `FactorAnalysis` has
    it, but on the covariance, which is much smaller than the frames.
    """

    def fit(away: Frames) -> Square:
        n, bands = away.x.shape
        sample = away.x.T @ away.x / n
        diagonal, loading, before = np.ones(bands), np.zeros((bands, count)), -np.inf
        for _ in range(1000):
            scale = np.sqrt(diagonal) + TINY
            values, vectors = np.linalg.eigh(sample / np.outer(scale, scale))
            spread, rest = np.maximum(values[-count:], TINY), values[:-count].sum()
            loading = np.sqrt(np.maximum(spread - 1, 0)) * vectors[:, -count:] * scale[:, None]
            likelihood = -n / 2 * (np.log(spread).sum() + rest + np.log(diagonal).sum())
            if likelihood - before < stop:
                break
            before = likelihood
            diagonal = np.maximum(np.diag(sample) - (loading**2).sum(1), TINY)
        return loading @ loading.T + np.diag(diagonal)

    return fit


def starting_gaussian(
    features: Features, machine: Int[np.ndarray, " clip"], statistics: Standardisation
) -> Gaussian:
    """Fits the Gaussian that a flow starts as; within the IDs no band moves less than 0.1 dB."""
    clips = (standardise(clip, statistics) for clip in features.clips())
    return fit_gaussian(clips, features.n_frames, machine, (STD_FLOOR / statistics.std) ** 2)


def fit_gaussian(
    clips: Iterable[Float[np.ndarray, "_ band"]],
    n_frames: Int[np.ndarray, " clip"],
    machine: Int[np.ndarray, " clip"],
    variance_floor: Band,
) -> Gaussian:
    """Fits means, and the covariance whose structure makes left-out clips most likely.

    Args:
        clips: Standardised bands of the training clips; every ID has one clip at least.
        n_frames: Frames of every clip.
        machine: Machine index of every clip.
        variance_floor: The least variance of every band.
    """
    frames = _some_frames(clips, n_frames, machine)
    n_clips, n_machines, n_bands = len(machine), int(machine.max()) + 1, frames.x.shape[1]
    compared = n_clips >= 2 * FOLDS and n_frames.sum() <= FEW_FRAMES
    counts = [k for k in FACTORS if k < n_bands // 2] if compared else []

    def structures(stop: float) -> dict[str, Callable[[Frames], Square]]:
        fits = {"Ledoit-Wolf": ledoit_wolf} | {f"{k} factors": factors(k, stop) for k in counts}
        return {name: _estimate(fit, variance_floor) for name, fit in fits.items()}

    mean, name = frames.means(n_machines), "Ledoit-Wolf"
    with threadpool_limits(1):  # threads on matrices so small only wait for each other
        if counts:
            likelihood = {
                name: _held_out(fit, frames, n_machines)
                for name, fit in structures(STOP_COMPARING).items()
            }
            name = max(likelihood, key=lambda name: likelihood[name])
        away = frames._replace(x=frames.x - mean[frames.machine])
        covariance = structures(STOP)[name](away)
    return Gaussian(mean, covariance, name)


def _some_frames(
    clips: Iterable[Float[np.ndarray, "_ band"]],
    n_frames: Int[np.ndarray, " clip"],
    machine: Int[np.ndarray, " clip"],
) -> Frames:
    """Every frame or, if there are more than `MOST_FRAMES`, every n-th of each ID."""
    stride = -(-int(n_frames.sum()) // MOST_FRAMES)
    seen, parts = np.zeros(machine.max() + 1, int), []
    for clip, owner in zip(clips, machine, strict=True):
        parts.append(clip[-seen[owner] % stride :: stride].astype(np.float64))
        seen[owner] += len(clip)
    clip = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Frames(np.concatenate(parts), clip, machine[clip])


def _estimate(structure: Structure, variance_floor: Band) -> Callable[[Frames], Square]:
    """Returns the covariance of new clips' frames around the means, from centred frames.

    The structure is that of the correlation: what is shrunk is the same whatever a band's spread.
    The means were fitted to the same clips, which therefore lie too close to them, by a share of
    about `IDs / clips`; a new clip lies farther from them by about the same share. A band that
    hardly moves gets the variance that it lacks.
    """

    def estimate(away: Frames) -> Square:
        fitted = len(np.unique(away.machine)) / away.n_clips
        scale = np.sqrt(np.maximum(np.mean(away.x**2, 0), variance_floor))
        correlation = structure(away._replace(x=away.x / scale))
        covariance = np.outer(scale, scale) * correlation * (1 + fitted) / max(1 - fitted, 0.5)
        lacking = np.maximum(variance_floor - np.diag(covariance), 0)
        return covariance + np.diag(lacking)

    return estimate


def _held_out(estimate: Callable[[Frames], Square], frames: Frames, n_machines: int) -> float:
    """Log-likelihood of left-out clips in five folds; an ID's only clip is never left out."""
    position = _position_within(frames)
    alone = np.bincount(frames.machine, position == 0, n_machines)  # frames of the first clip
    alone = alone == np.bincount(frames.machine, minlength=n_machines)
    total = 0.0
    for fold in range(FOLDS):
        out = (position % FOLDS == fold) & ~alone[frames.machine]
        if not out.any():
            continue
        mean = frames.where(~out).means(n_machines)
        away = frames._replace(x=frames.x - mean[frames.machine])
        covariance = estimate(away.where(~out))
        left_out = away.x[out]
        energy = (np.linalg.solve(covariance, left_out.T).T * left_out).sum()
        total -= 0.5 * (energy + len(left_out) * np.linalg.slogdet(covariance)[1])
    return total


def _position_within(frames: Frames) -> Int[np.ndarray, " frame"]:
    """The position of every frame's clip among the clips of its ID."""
    position = np.zeros(len(frames.x), int)
    for m in np.unique(frames.machine):
        own = frames.machine == m
        position[own] = np.unique(frames.clip[own], return_inverse=True)[1]
    return position
