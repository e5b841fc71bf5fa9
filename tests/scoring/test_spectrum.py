"""The rule `spectrum` where bands are silent, as in recordings that were upsampled."""

from itertools import product

import numpy as np
import pytest

from flowasd.scoring.calibration import calibrate
from flowasd.scoring.rules import RULES, Clips, clip_scores

IDS, FRAMES, SILENCE = 3, 40, -100.0


def make_clips(seed: int, live: int, silent: int, noise: float = 0.0) -> Clips:
    """Twenty clips of every ID, whose last bands are silent but for some noise.

    Args:
        seed: Of the clips; the IDs are the same for all seeds.
        live: Bands in which something is heard.
        silent: Bands in which nothing is heard.
        noise: What moves the silent bands, in dB.
    """
    level = 0.3 * np.random.default_rng(99).normal(size=(IDS, live))
    rng = np.random.default_rng(seed)
    machine = np.repeat(np.arange(IDS), 20)
    log_mels = [
        np.hstack(
            [
                -50 + level[m] + rng.normal(size=live) + 2 * rng.normal(size=(FRAMES, live)),
                SILENCE + noise * rng.normal(size=(FRAMES, silent)),
            ]
        )
        for m in machine
    ]
    return Clips(log_mels, [rng.normal(size=(FRAMES, IDS)) for _ in machine], machine)


@pytest.mark.parametrize(
    ("live", "silent", "noise", "decibels"),
    [
        (64, 64, 0.0, (1.0, 30.0)),
        (16, 16, 0.0, (1.0, 30.0)),
        (16, 16, 0.001, (1.0, 30.0)),
        (16, 16, 0.01, (1.0,)),
        (1, 31, 0.0, (1.0, 30.0)),
        (1, 31, 0.001, (1.0,)),
        (31, 1, 0.0, (1.0, 30.0)),
        (31, 1, 0.01, (1.0, 30.0)),
    ],
)
def test_sound_in_silent_bands_moves_the_score_by_less_than_clips_scatter(
    live, silent, noise, decibels
):
    train, held_out, normal = (make_clips(seed, live, silent, noise) for seed in range(3))
    normality = calibrate(train, held_out)
    rules = ("spectrum",) if noise else ("spectrum", "combined")
    for decibel, name in product(decibels, rules):
        louder = decibel * np.repeat([0, 1], [live, silent])
        raised = normal._replace(log_mels=[log_mel + louder for log_mel in normal.log_mels])
        before, after = (RULES[name](clips, normality) for clips in (normal, raised))
        spread = min(before[normal.machine == m].std() for m in range(IDS))
        assert np.abs(after - before).max() < spread, (name, decibel)


def test_one_band_tells_the_ids_apart():
    train, held_out, normal = (
        clips._replace(log_mels=[x + 5 * m for x, m in zip(clips[0], clips.machine, strict=True)])
        for clips in (make_clips(seed, 1, 0) for seed in range(3))
    )
    normality = calibrate(train, held_out)
    own = RULES["spectrum"](normal, normality)
    for shift in (1, 2):
        renamed = normal._replace(machine=(normal.machine + shift) % IDS)
        assert (RULES["spectrum"](renamed, normality) > own).mean() > 0.9


def test_one_band_that_never_moves_says_nothing():
    silent = make_clips(0, 0, 1)
    normality = calibrate(silent, silent)
    heard = silent._replace(log_mels=[log_mel + 30 for log_mel in silent.log_mels])
    for clips in (silent, heard):
        scores = clip_scores(clips, normality)
        assert all(np.isfinite(values).all() for values in scores.values())
        np.testing.assert_array_equal(scores["spectrum"], 0)
