"""False alarms and delays on SIMULATED scores: many streams at once, by the test of a watch."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flowasd.scoring.stream_test import EXPONENTS, add, evidence, smoothed_p_value

NEVER = -1
REFERENCES = ("online", "kept", "fixed")


class Alarms(NamedTuple):
    """The alarms of some streams.

    Attributes:
        first: The clip, from 1, at which a stream's first alarm came; `NEVER` without one.
        number: How many alarms a stream had.
    """

    first: Int[np.ndarray, " stream"]
    number: Int[np.ndarray, " stream"]


def alarms_of(
    normal: Float[np.ndarray, "stream normal"],
    scores: Float[np.ndarray, "stream clip"],
    false_alarm_every: float,
    rng: np.random.Generator,
    reference: str = "online",
) -> Alarms:
    """Watches streams as `flowasd.scoring.stream_test` does, all of them side by side.

    Args:
        normal: Scores of the calibration clips of every stream.
        scores: Scores of the stream's clips, in order.
        false_alarm_every: As for `is_alarm`.
        rng: Breaks ties.
        reference: What a score is ranked among. `"online"` is the calibration clips and the clips
            since the last alarm, as a watch does; `"kept"` leaves a stream's clips in the
            reference after an alarm; `"fixed"` is the calibration clips alone.
    """
    n, (streams, clips) = normal.shape[1], scores.shape
    # A column a stream; NaN is neither higher than a score nor equal to it.
    earlier = np.full((n + clips, streams), np.nan, np.float32)
    earlier[:n] = normal.T
    sums, size = np.zeros((streams, len(EXPONENTS))), np.full(streams, n)
    first, count = np.full(streams, NEVER), np.zeros(streams, int)
    for i, score in enumerate(scores.T.astype(np.float32)):
        among = earlier[: n + i]
        higher, equal = (
            compare(among, score).sum(0, dtype=np.uint16) for compare in (np.greater, np.equal)
        )
        sums = add(sums, smoothed_p_value(higher, equal, size, 1 - rng.random(streams)))
        alarm: Bool[np.ndarray, " stream"] = evidence(sums) >= false_alarm_every
        if reference != "fixed":
            earlier[n + i], size = score, size + 1
        if reference == "online" and alarm.any():
            earlier[n:, alarm], size[alarm] = np.nan, n
        sums[alarm] = 0
        first = np.where((first == NEVER) & alarm, i + 1, first)
        count += alarm
    return Alarms(first, count)


def normal_alarms(
    n: int, clips: int, streams: int, every: float, seed: int, reference: str = "online"
) -> Alarms:
    """The alarms of SIMULATED normal streams, each with calibration clips of its own.

    Scores are drawn from a normal distribution. The ranks, and so the alarms, are the same for any
    other continuous one.

    Args:
        n: Calibration clips of a stream.
        clips: Length of a stream.
        streams: Number of streams.
        every: As `false_alarm_every`.
        seed: Seed of the scores.
        reference: As for `alarms_of`.
    """
    parts = []
    for first in range(0, streams, 500):
        rng = np.random.default_rng([seed, n, first])
        some = min(500, streams - first)
        scores = rng.normal(size=(some, n + clips))
        parts.append(alarms_of(scores[:, :n], scores[:, n:], every, rng, reference))
    return Alarms(*map(np.concatenate, zip(*parts, strict=True)))
