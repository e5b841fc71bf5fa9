"""The one rule for recordings that can be decoded and still say nothing of a machine.

They are refused wherever recordings are heard, for training as for scoring, unless
`config.data.suspicious` is `keep`.
"""

import numpy as np
from jaxtyping import Float

from flowasd.errors import UserError

LOUDEST = 10.0  # full scale is 1; the overshoot of a resampler or a mix stays far below
QUIETEST = 1e-5  # -100 dB, below the noise of any 16-bit converter

MOST_STILL = 0.5  # of a recording; the converter of a live microphone never stands still

_BEGINNING = 2**12
_AT_ONCE = 2**20

ANSWERS = ("refuse", "warn", "keep")  # of `config.data.suspicious`


class Suspicious(UserError):
    """A recording that can be decoded, and cannot be judged."""


def suspicion(samples: Float[np.ndarray, " samples"], window: int) -> str | None:
    """Says why a recording cannot be judged.

    Args:
        samples: Its samples, with full scale at ±1.
        window: Samples of the front-end's analysis window.

    Returns:
        The reason and what to do; `None` if there is none.
    """
    peak = max(float(samples.max()), -float(samples.min()))
    if peak > LOUDEST:
        return f"samples are too large, up to {peak:.3g} where full scale is 1; export it again"
    if samples.size < max(2, window // 2):
        return (
            f"has {samples.size} samples, less than half of the analysis window of {window}; "
            "record for longer"
        )
    if not _varies(samples):
        return (
            "its first channel is silent, or has one value throughout; check the microphone, or "
            "export another channel"
        )
    if (share := _still(samples)) >= MOST_STILL:
        return (
            f"its first channel has one value throughout {100 * share:.0f} % of it; check the "
            "microphone, or cut that part off"
        )
    return None


def _still(samples: Float[np.ndarray, " samples"]) -> float:
    """The share of a recording that is in parts of one value."""
    parts = (samples[first : first + _BEGINNING] for first in range(0, samples.size, _BEGINNING))
    # The last sample tells at once of most parts that they vary.
    still = (part.size for part in parts if part[0] == part[-1] and (part == part[0]).all())
    return sum(still) / samples.size


def _varies(samples: Float[np.ndarray, " samples"]) -> bool:
    """Whether the standard deviation is `QUIETEST` at least, which most beginnings tell."""
    enough = QUIETEST**2 * samples.size
    return any(_squares(part) >= enough for part in (samples[:_BEGINNING], samples))


def _squares(samples: Float[np.ndarray, " samples"]) -> float:
    """The sum of squares around the mean, for which no array as long as the samples is made."""
    mean = samples.mean()
    starts = range(0, samples.size, _AT_ONCE)
    parts = (samples[first : first + _AT_ONCE] - mean for first in starts)
    return sum(float(np.dot(part, part)) for part in parts)
