"""Both rounds: what is surest in a pool, and densities that learn from it. No label is read."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from experiments.clips.learning import Learnt, learn
from experiments.clips.pooled import Pooled
from experiments.pseudo_labels.pools import Chosen
from flowasd.config import RunConfig
from flowasd.features.frontend import STD_FLOOR, standardise
from flowasd.scoring.frame_nll import frame_nll
from flowasd.training.gaussian import Frames, ledoit_wolf

Clips = Float[np.ndarray, "clip band"]
Class = Int[np.ndarray, " clip"]
Score = Float[np.ndarray, " clip"]


class Gaussians(NamedTuple):
    """A Gaussian for each class of clips, all with one covariance.

    Attributes:
        mean: Mean of every class.
        precision: Inverse of the covariance within the classes.
    """

    mean: Float[np.ndarray, "class band"]
    precision: Float[np.ndarray, "band band"]

    @classmethod
    def of(cls, x: Clips, own: Class) -> "Gaussians":
        """Fits the density that a flow of few clips starts as."""
        frames = Frames(x.astype(np.float64), np.arange(len(x)), own)
        mean = frames.means(int(own.max()) + 1)
        away = frames.x - mean[own]
        scale = np.maximum(np.sqrt(np.mean(away**2, 0)), STD_FLOOR)
        covariance = np.outer(scale, scale) * ledoit_wolf(frames._replace(x=away / scale))
        return cls(mean, np.linalg.inv(covariance))

    def energy(self, x: Clips, own: Class) -> Score:
        """Returns the NLL of clips under a class, but for what all clips share."""
        away = x - self.mean[own]
        return 0.5 * np.einsum("ci,ij,cj->c", away, self.precision, away)


def surest(score: Score, machine: Class, share: float) -> dict[int, Chosen]:
    """Returns positions of the surest clips of every machine, one of each end at least.

    Args:
        score: The higher, the more anomalous.
        machine: Machine index of every clip.
        share: Share of a machine's clips that each end takes.

    Returns:
        The lowest scores as label 0, the highest as label 1.
    """
    ends: dict[int, list[Chosen]] = {0: [], 1: []}
    for m in np.unique(machine):
        own = np.flatnonzero(machine == m)
        own, count = own[np.argsort(score[own])], max(1, round(share * len(own)))
        ends[0].append(own[:count])
        ends[1].append(own[-count:])
    return {label: np.concatenate(own) for label, own in ends.items()}


def once(train: Pooled, test: Pooled) -> Score:
    """Scores test clips by the Gaussians of training clips."""
    return Gaussians.of(train.x, train.machine).energy(test.x, test.machine)


def twice(
    train: Pooled, pool: Pooled, chosen: Mapping[int, Chosen], test: Pooled
) -> dict[str, Score]:
    """Scores test clips after a second round.

    Returns:
        By `positives`, the NLL under Gaussians to which the surest normal clips were added; by
        `negatives`, that under the training clips less that under the surest anomalous ones, with
        one covariance, which is a linear discriminant; and by `both`, the same with the surest
        normal clips added.
    """
    wider = train.joined(pool.some(chosen[0].tolist()))
    odd = pool.some(chosen[1].tolist())
    return {
        "positives": once(wider, test),
        "negatives": _discriminant(train, odd, test),
        "both": _discriminant(wider, odd, test),
    }


def _discriminant(normal: Pooled, odd: Pooled, test: Pooled) -> Score:
    n_machines = int(normal.machine.max()) + 1
    x = np.concatenate([normal.x, odd.x])
    own = np.concatenate([normal.machine, n_machines + odd.machine])
    gaussians = Gaussians.of(x, own)
    return gaussians.energy(test.x, test.machine) - gaussians.energy(
        test.x, n_machines + test.machine
    )


def flow_score(learnt: Learnt, test: Pooled) -> Score:
    """Scores clips by a flow, each under its own machine ID."""
    clips = list(standardise(test.x, learnt.statistics)[:, None])
    nlls = frame_nll(learnt.flow, clips, length=1, hop=1, batch_size=256)
    return np.stack(nlls)[np.arange(len(clips)), 0, test.machine].astype(np.float64)


def learn_flow(config: RunConfig, train: Pooled, more: Pooled | None = None) -> Learnt:
    """Trains a flow on normal clips as a run does; `more` joins what it trains on.

    The step is chosen by held-out clips of `train` alone.
    """
    known, held_out = train.split(config.seed, config.data.validation)
    return learn(config, known if more is None else known.joined(more), held_out)[1]
