"""The score rules: every way to make one score of a clip, in one registry.

A rule takes clips and the statistics of normal clips, and returns a score for each clip. The
larger the score, the more anomalous the clip. To add a rule, write such a function and add a line
to `RULES`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr

from flowasd.errors import UserError
from flowasd.scoring.frame_nll import MachineNLL

FrameNLL = Float[np.ndarray, " time"]
PerMachine = Float[np.ndarray, "clip machine"]
PerClip = Float[np.ndarray, " clip"]
Machine = Int[np.ndarray, " clip"]

TAIL = 0.01  # weight of what orders clips beyond the lowest p-value; see `combined`


class Clips(NamedTuple):
    """Some clips as the rules see them.

    Attributes:
        nlls: NLL of every frame of every clip under every machine ID, in nats per dimension.
        machine: Machine index of every clip.
    """

    nlls: Sequence[MachineNLL]
    machine: Machine

    def own_nlls(self) -> list[FrameNLL]:
        """Returns the NLL of every frame of every clip under the clip's own ID."""
        return [nll[:, m] for nll, m in zip(self.nlls, self.machine, strict=True)]

    def mean_nll(self) -> PerMachine:
        """Returns the mean NLL of every clip under every ID."""
        return np.stack([nll.mean(0) for nll in self.nlls])


class Normality(NamedTuple):
    """Statistics of normal clips.

    Attributes:
        level: Mean frame NLL of every ID's clips.
        location: Where unseen normal clips of every ID lie by each of the `JOINED` rules.
        spread: How far they scatter.
        floor: The lowest p-value that the number of normal clips supports.
    """

    level: Float[np.ndarray, " machine"]
    location: Float[np.ndarray, "machine joined"]
    spread: Float[np.ndarray, "machine joined"]
    floor: float


class Judged(NamedTuple):
    """What is said of one clip.

    Attributes:
        scores: The score by every rule.
        nll: NLL of every frame under the clip's own ID, in nats per dimension.
        p_values: Of the score by every rule: how often a normal clip scores as high or higher.
    """

    scores: dict[str, float]
    nll: FrameNLL
    p_values: Mapping[str, float] = MappingProxyType({})


def check_finite(judged: Judged, name: object) -> None:
    """Raises a `UserError` that names the clip if a score is not a finite number."""
    if not np.isfinite([*judged.scores.values()]).all():
        raise UserError(
            f"{name}: its score is not a finite number; look at the recording, or train again with "
            "a lower --config.train.learning_rate"
        )


Rule = Callable[[Clips, Normality], PerClip]
# Takes frame NLLs `(clip, time)` and `axis=1`, as NumPy's functions do.
Statistic = Callable[..., PerClip]


def of_frames(statistic: Statistic) -> Rule:
    """Makes a rule of a statistic of the frame NLLs under a clip's own ID."""

    def rule(clips: Clips, normality: Normality) -> PerClip:
        own = clips.own_nlls()
        n_frames = np.array([len(nll) for nll in own])
        scores = np.empty(len(own))
        for length in {*n_frames.tolist()}:  # one call for all clips of a length takes less time
            same = np.flatnonzero(n_frames == length)
            scores[same] = statistic(np.stack([own[i] for i in same]), axis=1)
        return scores

    return rule


def top10(nll: Float[np.ndarray, "clip time"], axis: int) -> PerClip:
    """Returns the mean of the highest tenth of the frames, of at least one frame."""
    n_frames = nll.shape[axis]
    highest = np.arange(n_frames - max(1, round(n_frames / 10)), n_frames)
    return np.sort(nll, axis).take(highest, axis).mean(axis)


def typicality(clips: Clips, normality: Normality) -> PerClip:
    """Mean distance of the frame NLLs from the normal level of the clip's ID."""
    level = normality.level[clips.machine]
    return np.array([abs(n - at).mean() for n, at in zip(clips.own_nlls(), level, strict=True)])


def relative(clips: Clips, normality: Normality) -> PerClip:
    """Mean NLL under the clip's own ID, less the mean of that over all IDs; 0 with one ID.

    It says how far the clip has moved from its own machine towards the other machines. For a
    flow at step 0 it is a linear discriminant (Hastie, Tibshirani & Friedman, "The Elements of
    Statistical Learning", equation 4.9): the parts of the NLL that all IDs share cancel.
    """
    nll = clips.mean_nll()
    return own(nll, clips.machine) - nll.mean(1)


def combined(clips: Clips, normality: Normality) -> PerClip:
    """Minus the logarithm of the product of the `JOINED` rules' p-values (Fisher's method).

    Each p-value is that of a normal distribution with the location and the spread of normal
    clips. No p-value counts as lower than `normality.floor`, so that one rule alone does not
    outvote the other by a tail that no clip has confirmed. A small term that grows with the
    logarithm of the distance orders clips beyond the floor (and those that are more normal than
    the p-value's precision can tell): two clips tie only where both parts tie.
    """
    scores = joined(clips, normality)
    z = (scores - normality.location[clips.machine]) / normality.spread[clips.machine]
    evidence = np.minimum(-log_ndtr(-z), -math.log(normality.floor))
    return (evidence + TAIL * np.arcsinh(z)).sum(1)


# The statistics of the frame NLLs that are rules by themselves.
FRAME_STATISTICS: dict[str, Statistic] = {
    "mean": np.mean,
    "std": np.std,
    "max": np.max,
    "p75": partial(np.percentile, q=75),
    "top10": top10,
}
RULES: dict[str, Rule] = {
    **{name: of_frames(statistic) for name, statistic in FRAME_STATISTICS.items()},
    "typicality": typicality,
    "relative": relative,
    "combined": combined,
}
# `combined` joins how likely the frames are and which machine the clip resembles.
JOINED: tuple[Rule, ...] = (RULES["mean"], RULES["relative"])


def joined(clips: Clips, normality: Normality) -> Float[np.ndarray, "clip joined"]:
    """Returns the scores by the `JOINED` rules."""
    return np.stack([rule(clips, normality) for rule in JOINED], 1)


def judge(clips: Clips, normality: Normality) -> list[Judged]:
    """Scores clips by every rule."""
    if not clips.nlls:
        return []
    columns = {name: rule(clips, normality).tolist() for name, rule in RULES.items()}
    rows = zip(*columns.values(), strict=True)
    scores = [dict(zip(columns, row, strict=True)) for row in rows]
    return [Judged(*both) for both in zip(scores, clips.own_nlls(), strict=True)]


def own(values: PerMachine, machine: Machine) -> PerClip:
    """Returns each clip's value under its own ID."""
    return values[np.arange(len(machine)), machine]
