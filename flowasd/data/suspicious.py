"""The one rule for recordings that can be decoded and still say nothing of a machine.

They are refused wherever recordings are heard, for training as for scoring, unless
`config.data.suspicious` is `keep`.
"""

import numpy as np
from jaxtyping import Float

from flowasd.errors import UserError

LOUDEST = 10.0  # full scale is 1; the overshoot of a resampler or a mix stays far below
QUIETEST = 1e-5  # -100 dB, below the noise of any 16-bit converter

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
    if float(samples.std()) < QUIETEST:
        return (
            "its first channel is silent, or has one value throughout; check the microphone, or "
            "export another channel"
        )
    return None
