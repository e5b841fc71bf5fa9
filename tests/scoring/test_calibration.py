"""Calibration against loops, and clips whose distribution is known."""

import jax
import numpy as np
import pytest

from flowasd.scoring.calibration import calibrate, fit_normality
from flowasd.scoring.rules import JOINED, Clips, joined
from tests.scoring.made_clips import FRAMES, clip_scores, make_clips


def test_level_is_that_of_the_own_ids_frames():
    clips = make_clips(0, (4, 2))
    expected = [np.mean([n[:, m] for n, o in zip(*clips, strict=True) if o == m]) for m in (0, 1)]
    np.testing.assert_allclose(fit_normality(clips).level, expected)


def test_unseen_normal_clips_lie_at_location_and_scatter_by_spread():
    """Of each ID, 1000 clips to train on, 1000 held out, 2000 unseen.

    The standard error of a mean, in spreads, is made of those of the ID's training clips, of all
    held-out clips and of the ID's unseen clips: √(1/1000 + 1/2000 + 1/2000) = 0.045. That of a
    standard deviation is smaller by √2. Both may be three standard errors off.
    """
    train, held_out = make_clips(0, (1000, 1000), nll=0.8), make_clips(1, (1000, 1000))
    normality = calibrate(train, held_out)
    unseen = make_clips(3, (2000, 2000))
    location, spread = (v[unseen.machine] for v in (normality.location, normality.spread))
    z = (joined(unseen, normality) - location) / spread
    error = np.sqrt(1 / 1000 + 1 / 2000 + 1 / 2000)
    for machine in range(2):
        own = z[unseen.machine == machine]
        np.testing.assert_allclose(own.mean(0), 0, atol=3 * error)
        np.testing.assert_allclose(own.std(0), 1, atol=3 * error / np.sqrt(2))


def test_location_and_spread_are_of_training_clips_and_corrected_by_held_out_ones():
    train, held_out = make_clips(0, (5, 5)), make_clips(1, (4, 3))
    normality = calibrate(train, held_out)
    seen = joined(train, normality).reshape(2, 5, len(JOINED))
    unseen = joined(held_out, normality)
    z = (unseen - seen.mean(1)[held_out.machine]) / seen.std(1)[held_out.machine]
    np.testing.assert_allclose(normality.spread, seen.std(1) * np.maximum(z.std(0), 1))
    np.testing.assert_allclose(normality.location, seen.mean(1) + z.mean(0) * seen.std(1))


@pytest.mark.parametrize("counts", [(1, 1), (3,), (1, 7), (2, 3, 1)])
def test_few_clips_are_no_trouble(counts):
    """Neither NaN nor a warning, even where an ID has a single clip."""
    normality = calibrate(make_clips(0, counts), make_clips(1, counts))
    leaves = jax.tree.leaves(normality)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert (normality.spread > 0).all()
    scores = clip_scores(make_clips(2, counts), normality)
    assert all(np.isfinite(values).all() for values in scores.values())


def test_an_id_of_one_clip_leaves_the_others_as_they_are():
    """It has no spread of its own, in units of which its held-out clip would lie anywhere."""
    counts = (40, 40)
    alone = calibrate(make_clips(0, counts), make_clips(1, (8, 8)))
    beside = calibrate(make_clips(0, (*counts, 1)), make_clips(1, (8, 8, 1)))
    np.testing.assert_allclose(beside.spread[:2], alone.spread, rtol=0.5)
    assert (np.abs(beside.location[:2] - alone.location) < 2 * alone.spread).all()
    assert (beside.spread[2] >= beside.spread[:2].min(0)).all()


def test_recordings_that_are_all_the_same_are_no_trouble():
    """Such as digital silence: no feature has any spread."""
    silent = Clips([np.ones((FRAMES, 2))] * 4, np.arange(4) % 2)
    scores = clip_scores(silent, calibrate(silent, silent))
    assert all(np.isfinite(values).all() for values in scores.values())
