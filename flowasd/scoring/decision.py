"""Decisions: how often a normal clip scores as high as this one, and which clips are alarms.

A p-value is the rank of a score among those of normal clips of the same machine ID (inductive
conformal anomaly detection: Laxhammar & Falkman, "Inductive conformal anomaly detection for
sequential detection of anomalous sub-trajectories", 2015). There are two kinds of such clips:

- `HELD_OUT` clips neither trained the detector nor chose anything in it. They and a new normal
  clip are exchangeable: every order of their scores is equally likely. So the p-value of a new
  normal clip is at most `alpha` with probability at most `alpha`, whatever the distribution of
  the scores and however good or bad the flow.
- `CROSS_FITTED` clips are training clips, and each is scored by a flow that was trained without
  it. The flow that scores new clips was trained on all of them. The bound then holds as far as
  the score of a new normal clip is not higher by this flow than by one of fewer clips. No proof
  covers every case: cross-conformal prediction, which would keep all the flows, is proven up to
  2 alpha only (Barber, Candès, Ramdas & Tibshirani, "Predictive inference with the jackknife+",
  2021, theorem 4). `experiments/decision` measures what rate comes out.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flowasd.scoring.rules import RULES, Clips, Judged, Normality, judge

PValues = Float[np.ndarray, " clip"]
Scores = Float[np.ndarray, " clip"]

HELD_OUT, CROSS_FITTED = "held out", "cross-fitted"
GAMMA_QUANTILE = 0.9  # of the threshold of DCASE's baselines
FOREIGN = 30.0  # times as far from normal as the 90 % quantile of normal clips


class NormalScores(NamedTuple):
    """Scores of the normal clips that calibrate decisions.

    Attributes:
        scores: Score of every clip by every rule, in the order of `RULES`.
        machine: Machine index of every clip.
    """

    scores: Float[np.ndarray, "clip rule"]
    machine: Int[np.ndarray, " clip"]

    @classmethod
    def none(cls) -> "NormalScores":
        """Returns no clips at all."""
        return cls(np.zeros((0, len(RULES))), np.zeros(0, int))

    @classmethod
    def of(cls, clips: Clips, normality: Normality) -> "NormalScores":
        """Scores clips by every rule."""
        rows = [list(clip.scores.values()) for clip in judge(clips, normality)]
        return cls(np.array(rows, float).reshape(-1, len(RULES)), np.array(clips.machine, int))

    def by(self, rule: str, machine: int) -> Scores:
        """Returns the scores of an ID's clips by a rule."""
        return self.scores[self.machine == machine, list(RULES).index(rule)]

    def without(self, machine: int) -> "NormalScores":
        """Returns the clips of all other IDs."""
        return NormalScores(*(column[self.machine != machine] for column in self))

    def joined(self, *others: "NormalScores") -> "NormalScores":
        """Returns these clips and others."""
        return NormalScores(*(np.concatenate(parts) for parts in zip(self, *others, strict=True)))


class Calibration(NamedTuple):
    """What scores and decisions are measured by.

    Attributes:
        normality: Statistics of normal clips, which the rules need.
        normal: Scores of the clips that p-values are ranks among.
        kinds: Of the clips of every machine ID: `HELD_OUT` or `CROSS_FITTED`.
    """

    normality: Normality
    normal: NormalScores
    kinds: tuple[str, ...]


class Decisions(NamedTuple):
    """What a detector decides of some recordings.

    Attributes:
        p_values: How often a normal recording of the machine scores as high or higher, in (0, 1].
        alarms: Whether each recording is an alarm at the rate that is allowed.
    """

    p_values: Float[np.ndarray, " clip"]
    alarms: Bool[np.ndarray, " clip"]


def p_values(scores: Scores, normal: Float[np.ndarray, " normal"]) -> PValues:
    """Returns the conformal p-value of every score.

    It is `(1 + k) / (1 + n)`, where `k` of `n` normal clips score as high or higher (Vovk,
    Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005, equation 2.20). Ties count
    against an alarm. Without normal clips it is 1.

    Args:
        scores: Scores of some clips of a machine ID.
        normal: Scores of normal clips of the same ID.
    """
    lower = np.searchsorted(np.sort(normal), scores, side="left")
    return (1.0 + len(normal) - lower) / (1.0 + len(normal))


def with_p_values(
    judged: Sequence[Judged], machine: Int[np.ndarray, " clip"], normal: NormalScores
) -> list[Judged]:
    """Adds to every clip the p-value of its score by every rule."""
    p = np.ones((len(judged), len(RULES)))
    for m in np.unique(machine):
        some = np.flatnonzero(machine == m).tolist()
        for column, rule in enumerate(RULES):
            scores = np.array([judged[i].scores[rule] for i in some])
            p[some, column] = p_values(scores, normal.by(rule, int(m)))
    rows = (dict(zip(RULES, row, strict=True)) for row in p.tolist())
    return [clip._replace(p_values=row) for clip, row in zip(judged, rows, strict=True)]


def distance_from_normal(scores: Scores, normal: Float[np.ndarray, " normal"]) -> Scores:
    """Returns how far NLLs lie above the median of normal clips.

    Args:
        scores: The mean NLL of recordings of a machine ID.
        normal: Those of normal clips of the same ID.

    Returns:
        The distances in units of that of their 90 % quantile; 0 where they do not spread.
    """
    median, tail = np.quantile(normal, [0.5, 0.9]) if len(normal) > 1 else (0.0, 0.0)
    return (scores - median) / (tail - median) if tail > median else np.zeros_like(scores)


def foreign(distance: float) -> str | None:
    """Says that a recording is farther from normal than a fault explains.

    `experiments/doubts` measures how far faults and other machines are. Machines that sound alike
    are not noticed.

    Args:
        distance: Its distance from normal, as `distance_from_normal` returns it.

    Returns:
        The reason to doubt the machine ID; `None` if there is none.
    """
    if distance < FOREIGN:
        return None
    return (
        f"lies {distance:.0f} times as far from normal as nine in ten normal clips, farther than "
        "faults do; is it a recording of this machine, by the same microphone?"
    )


def alarm_threshold(normal: Scores, alpha: float) -> float:
    """Returns the score above which a clip's p-value is at most `alpha`.

    Args:
        normal: Scores of normal clips that the p-value is a rank among.
        alpha: The rate of false alarms that a decision allows, below 1.

    Returns:
        The threshold, which is the score of a normal clip. It is infinite if the normal clips are
        too few for any alarm.
    """
    descending = np.sort(normal)[::-1]
    as_high = np.arange(len(normal) + 1)  # so many normal clips score as high as the clip
    allowed = int(((1.0 + as_high) / (1.0 + len(normal)) <= alpha).sum())
    return float(descending[allowed - 1]) if allowed else math.inf


def smallest_rate(n_normal: int) -> float:
    """Returns the lowest rate of false alarms at which `n_normal` clips can raise an alarm."""
    return 1 / (1 + n_normal)


def clips_needed(alpha: float) -> int:
    """Returns how many normal clips can raise an alarm at the rate `alpha` of false alarms."""
    return max(math.ceil(1 / alpha - 1e-9) - 1, 0)


def shortage(counts: dict[str, int], alpha: float) -> str | None:
    """Says in one line which machine IDs have too few normal clips for a rate of false alarms.

    Args:
        counts: The number of normal clips that calibrate each ID's decisions.
        alpha: The rate.

    Returns:
        The line; `None` if every ID has enough clips.
    """
    needed = clips_needed(alpha)
    few = {machine_id: n for machine_id, n in counts.items() if n < needed}
    if not few:
        return None
    rates = ", ".join(f"{m} {100 * smallest_rate(n):.3g} % ({n} clips)" for m, n in few.items())
    return (
        f"no alarm is possible at {100 * alpha:.3g} % false alarms for some machines, whose lowest "
        f"rates are: {rates}; {needed} normal clips of a machine would allow {100 * alpha:.3g} %"
    )


def discoveries(p: PValues, rate: float) -> Bool[np.ndarray, " clip"]:
    """Returns which clips of a batch are alarms if at most `rate` of the alarms shall be false.

    The procedure is Benjamini & Hochberg's ("Controlling the false discovery rate", 1995). Its
    bound holds for conformal p-values that share their normal clips (Bates, Candès, Lei, Romano &
    Sesia, "Testing for outliers with conformal p-values", 2023, theorem 2).

    Args:
        p: p-values of the batch.
        rate: The expected share of normal clips among the alarms that is allowed.
    """
    from scipy.stats import false_discovery_control  # its import takes a second

    return false_discovery_control(p) <= rate if len(p) else np.zeros(0, bool)


def gamma_threshold(normal: Scores) -> float:
    """Returns the threshold of DCASE's baselines: a quantile of a gamma distribution.

    The distribution is fitted to scores of normal clips (Dohi et al., "Description and discussion
    on DCASE 2022 challenge task 2", section 4). It has no guarantee. Fewer than two different
    scores fit none, and the threshold is then the highest of them.
    """
    from scipy.stats import gamma  # its import takes a second

    if len(np.unique(normal)) < 2:
        return float(normal.max()) if len(normal) else math.inf
    return float(gamma.ppf(GAMMA_QUANTILE, *gamma.fit(normal)))
