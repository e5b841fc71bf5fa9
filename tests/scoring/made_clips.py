"""Clips whose distribution is known."""

import numpy as np

from flowasd.scoring.rules import Clips

BANDS, FRAMES = 3, 40


def make_clips(
    seed: int,
    counts: tuple[int, ...],
    *,
    nll: float = 1.0,
    sounds_like: int | None = None,
) -> Clips:
    """Normal clips, `counts` of every ID; each ID is loudest in a band of its own.

    Args:
        seed: Of all that is random.
        counts: Clips of every ID.
        nll: What the frame NLLs are on average; a clip has a level of its own.
        sounds_like: ID whose spectrum all clips have instead of their own.
    """
    rng = np.random.default_rng(seed)
    machine = np.repeat(np.arange(len(counts)), counts)
    log_mels, nlls = [], []
    for m in machine:
        loud = 2.0 * np.eye(len(counts), BANDS)[m if sounds_like is None else sounds_like]
        log_mels.append(-40 + loud + rng.normal(size=BANDS) + rng.normal(size=(FRAMES, BANDS)))
        level = nll + 0.1 * rng.normal() + 0.3 * (np.arange(len(counts)) != m)
        nlls.append(level + rng.normal(size=(FRAMES, len(counts))))
    return Clips(log_mels, nlls, machine)
