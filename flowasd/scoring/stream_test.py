"""A test of a stream of scores: whether the latest ones are still those of a normal machine.

A single alarm says little of a machine: one normal clip in ten is one where `alpha` is 0.1. This
test adds up what the latest clips say together, and raises an alarm when that is too unlikely.

**p-values.** Every score is ranked among the scores of the calibration clips and all earlier
scores of the stream, and ties are broken by chance. If calibration and stream are exchangeable
(every order of them is equally likely), these p-values are independent and uniform on (0, 1]
(Vovk, Nouretdinov & Gammerman, "Testing exchangeability on-line", 2003, theorem 1). Ranks among
the calibration clips alone would not be independent: they share these clips, and if the clips
happen to be quiet ones, every normal clip of the stream looks a little too loud, for ever.

**Evidence.** A bet `e * p**(e - 1)`, with `e` in (0, 1), pays more than 1 for a small p-value and
1 on average for a uniform one. Let R be 0 at the start, and `(R + 1) * bet` after every clip
(the Shiryaev-Roberts recursion); R is the sum, over all clips at which a change may have begun, of
the product of the bets since then. The evidence is the mean of R over the `EXPONENTS`. On a normal
stream, evidence less number of clips is a martingale, so an alarm at evidence A comes, on average,
after A clips or more, and comes within t clips with a probability of at most t / A (optional
stopping; Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", 2023, section 2.4).

A product of all bets since the start has a bound for ever (Ville's inequality), but it shrinks as
long as the machine is normal, and a fault after a thousand clips must first win all of that back.

After an alarm the test begins anew, with the calibration clips alone as its reference: the clips of
a fault must not become what is normal. The bound is proven for the first alarm. The later ones
depend on what raised the first; `experiments/alarm` measures their rate.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowasd.data.splits import hash_fraction

# Small exponents bet on a few very small p-values, large ones on many that are a little too small.
EXPONENTS = np.array([0.05, 0.1, 0.2, 0.4, 0.7])

Sums = Float[np.ndarray, "*stream exponent"]
PerStream = Float[np.ndarray, "*stream"]


class Stream(NamedTuple):
    """What the test knows of one machine.

    Attributes:
        name: Name of the stream, which seeds how ties are broken.
        normal: Scores of the calibration clips, sorted.
        reference: These and all scores since the last alarm, sorted.
        sums: The sum R of every exponent.
        seen: Number of clips so far.
    """

    name: str
    normal: Float[np.ndarray, " normal"]
    reference: Float[np.ndarray, " earlier"]
    sums: Float[np.ndarray, " exponent"]
    seen: int = 0

    @property
    def log_evidence(self) -> float:
        """The natural logarithm of the evidence; `-inf` before the first clip."""
        value = float(evidence(self.sums))
        return math.log(value) if value > 0 else -math.inf


def begin(name: str, normal: Float[np.ndarray, " normal"]) -> Stream:
    """Returns the state before the first clip.

    Args:
        name: Name of the stream, such as the machine ID.
        normal: Scores of the calibration clips; there may be none, and the stream is then
            compared with its own beginning.
    """
    ordered = np.sort(np.asarray(normal, float))
    return Stream(name, ordered, ordered, np.zeros(len(EXPONENTS)))


def observe(stream: Stream, score: float) -> Stream:
    """Returns the state after one more clip, with this finite score."""
    tie = 1 - hash_fraction(stream.name, stream.seen)
    below, not_above = (int(np.searchsorted(stream.reference, score, s)) for s in ("left", "right"))
    n = len(stream.reference)
    p = smoothed_p_value(n - not_above, not_above - below, n, tie)
    return stream._replace(
        reference=np.insert(stream.reference, not_above, score),
        sums=add(stream.sums, np.asarray(p)),
        seen=stream.seen + 1,
    )


def after_alarm(stream: Stream) -> Stream:
    """Returns the state in which the test goes on after an alarm: as at the start."""
    return begin(stream.name, stream.normal)._replace(seen=stream.seen)


def is_alarm(log_evidence: float, false_alarm_every: float) -> bool:
    """Whether the evidence is an alarm.

    Args:
        log_evidence: Its natural logarithm.
        false_alarm_every: The mean number of clips, at least, until a normal stream raises one.
    """
    return log_evidence >= math.log(false_alarm_every)


def smoothed_p_value(higher, equal, n, tie):
    """Returns the smoothed conformal p-value, in (0, 1].

    It is `(higher + tie * (equal + 1)) / (n + 1)` (Vovk, Gammerman & Shafer, "Algorithmic Learning
    in a Random World", 2005, equation 2.20).

    Args:
        higher: How many earlier scores are higher; all arguments are numbers or arrays.
        equal: How many are equal.
        n: How many there are.
        tie: A number drawn uniformly from (0, 1].
    """
    return (higher + tie * (equal + 1)) / (n + 1)


def add(sums: Sums, p: PerStream) -> Sums:
    """Returns the sum R of every exponent after one more p-value of every stream."""
    bets = EXPONENTS * np.expand_dims(p, -1) ** (EXPONENTS - 1)
    return (sums + 1) * bets


def evidence(sums: Sums) -> PerStream:
    """Returns the evidence that streams have changed: the mean over the exponents."""
    return np.asarray(sums.mean(-1))
