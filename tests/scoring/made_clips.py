"""Clips whose distribution is known."""

import numpy as np

from flowasd.scoring.rules import RULES, Clips, Normality

FRAMES = 40


def clip_scores(clips: Clips, normality: Normality) -> dict[str, np.ndarray]:
    """The scores of the clips by every rule."""
    return {name: rule(clips, normality) for name, rule in RULES.items()}


def make_clips(
    seed: int,
    counts: tuple[int, ...],
    *,
    nll: float = 1.0,
    sounds_like: int | None = None,
) -> Clips:
    """Normal clips, `counts` of every ID; each is more likely under its own ID than under others.

    Args:
        seed: Of all that is random.
        counts: Clips of every ID.
        nll: What the frame NLLs are on average; a clip has a level of its own.
        sounds_like: ID under which all clips are more likely, instead of their own.
    """
    rng = np.random.default_rng(seed)
    machine = np.repeat(np.arange(len(counts)), counts)
    nlls = []
    for m in machine:
        likely = m if sounds_like is None else sounds_like
        level = nll + 0.1 * rng.normal() + 0.3 * (np.arange(len(counts)) != likely)
        nlls.append(level + rng.normal(size=(FRAMES, len(counts))))
    return Clips(nlls, machine)
