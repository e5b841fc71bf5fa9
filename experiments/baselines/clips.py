"""What every baseline is given, and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from flowasd.scoring.rules import FRAME_STATISTICS

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Rule name -> one score per test clip; the larger, the more anomalous.
Scores: TypeAlias = Mapping[str, Float[np.ndarray, " clip"]]


class Clips(NamedTuple):
    """Log-mels, standardised over the frames of all training clips, and their machine indices."""

    log_mels: Sequence[Float[np.ndarray, "_ mel"]]
    machine: Int[np.ndarray, " clip"]

    def where(self, wanted: Bool[np.ndarray, " clip"]) -> "Clips":
        """The clips that are wanted."""
        log_mels = [x for x, own in zip(self.log_mels, wanted, strict=True) if own]
        return Clips(log_mels, self.machine[wanted])


def one_model_an_id(
    train: Clips, test: Clips, scores: Callable[[Clips, Clips], Scores]
) -> dict[str, Float[np.ndarray, " clip"]]:
    """Scores the test clips of every machine ID by a model of that ID's training clips alone."""
    together: dict[str, np.ndarray] = {}
    for machine in np.unique(test.machine):
        own = test.machine == machine
        of_id = scores(train.where(train.machine == machine), test.where(own))
        for rule, values in of_id.items():
            together.setdefault(rule, np.full(len(own), np.nan))[own] = values
    return together


def by_rules(nlls: Sequence[Float[np.ndarray, " time"]]) -> dict[str, Float[np.ndarray, " clip"]]:
    """The flow's own statistics of frames, applied to another model's frame scores."""
    return {
        name: np.array([statistic(nll[None], axis=1)[0] for nll in nlls])
        for name, statistic in FRAME_STATISTICS.items()
    }


def pooled(clips: Clips) -> Float[np.ndarray, "clip feature"]:
    """Mean, standard deviation and maximum over time of every mel bin."""
    rows = [np.concatenate([c.mean(0), c.std(0), c.max(0)]) for c in clips.log_mels]
    return np.stack(rows)


def quantiles(clips: Clips) -> Float[np.ndarray, "clip feature"]:
    """Quantiles over time of every mel bin."""
    return np.stack([np.quantile(c, QUANTILES, axis=0).ravel() for c in clips.log_mels])
