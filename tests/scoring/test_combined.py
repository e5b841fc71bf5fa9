"""No tie that the parts do not have: `combined` orders clips whatever the calibration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from flowasd.scoring.calibration import calibrate
from flowasd.scoring.rules import RULES, Clips, Normality, joined
from tests.scoring.made_clips import FRAMES, make_clips

# Parts that lie closer, in units of the spread or of the distance itself, count as equal: what is
# left of so small a difference is float64's rounding.
RESOLUTION = 1e-9


def anomalous(normality: Normality, machine: int, nlls, relatives) -> Clips:
    """Clips of one ID, one for each pair of a mean NLL and a distance from the other IDs.

    Args:
        normality: Its location and spread set the units.
        machine: The ID.
        nlls: Distance of the mean NLL from its location, in units of its spread.
        relatives: The same of the NLL less the mean over all IDs; without effect if there is one.
    """
    n_machines = len(normality.level)
    location, spread = normality.location[machine], normality.spread[machine]
    pairs = [location + spread * both for both in product(nlls, relatives)]
    frames = []
    for own, above_mean in pairs:
        others = own - above_mean * n_machines / max(n_machines - 1, 1)
        frames.append(np.full((FRAMES, n_machines), others))
        frames[-1][:, machine] = own
    return Clips(frames, np.full(len(pairs), machine))


def assert_no_needless_tie(clips: Clips, normality: Normality) -> int:
    """Every clip that is above another by one part, and not below it by any, is above it.

    Returns:
        The number of such pairs.
    """
    scores, parts = RULES["combined"](clips, normality), joined(clips, normality)
    assert np.isfinite(scores).all()
    distance = np.abs(parts - normality.location[clips.machine]) / normality.spread[clips.machine]
    step = RESOLUTION * (1 + distance) * normality.spread[clips.machine]
    step = np.maximum(step[:, None], step[None])
    difference = parts[:, None] - parts[None]
    above = (difference >= 0).all(-1) & (difference > step).any(-1)
    above &= clips.machine[:, None] == clips.machine[None]
    assert (scores[:, None] > scores[None])[above].all()
    return int(above.sum())


far = st.floats(-12, 12).map(lambda power: np.sign(power) * 10 ** abs(power))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    seed=st.integers(0, 2**16),
    nlls=st.lists(far, min_size=2, max_size=6),
    relatives=st.lists(far, min_size=1, max_size=4),
)
def test_combined_never_ties_what_its_parts_separate(counts, seed, nlls, relatives):
    """One ID or several, few clips, and anomalies up to 1e12 spreads away in either direction."""
    train, held_out = make_clips(seed, tuple(counts)), make_clips(seed + 1, tuple(counts))
    normality = calibrate(train, held_out)
    assert_no_needless_tie(train, normality)
    assert_no_needless_tie(held_out, normality)
    for machine in range(len(counts)):
        assert_no_needless_tie(anomalous(normality, machine, nlls, relatives), normality)


@pytest.mark.parametrize("counts", [(1,), (30,), (1, 1), (5, 40, 3)])
def test_combined_orders_anomalies_of_every_size(counts):
    """The same on a ladder from 1e-6 to 1e12 spreads, which has many such pairs."""
    normality = calibrate(make_clips(0, counts), make_clips(1, counts))
    ladder = 10.0 ** np.arange(-6, 13)
    ladder = np.concatenate([-ladder, [0], ladder])
    for machine in range(len(counts)):
        clips = anomalous(normality, machine, ladder, [0.0] if len(counts) == 1 else ladder[::6])
        assert assert_no_needless_tie(clips, normality) >= len(ladder) * (len(ladder) - 1) / 2


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [2, 5, 30])
def test_with_one_id_combined_is_as_good_as_the_mean(count, seed):
    rng = np.random.default_rng(seed)
    normality = calibrate(make_clips(seed, (count,)), make_clips(seed + 100, (4,)))
    normal = make_clips(seed + 200, (30,))
    near = make_clips(seed + 300, (15,), nll=1.1)
    away = make_clips(seed + 400, (15,), nll=float(10 ** rng.uniform(1, 9)))
    labels = [0] * 30 + [1] * 30
    scores = {
        rule: np.concatenate([RULES[rule](clips, normality) for clips in (normal, near, away)])
        for rule in ("mean", "combined")
    }
    assert 0.5 < roc_auc_score(labels, scores["mean"]) < 1
    assert roc_auc_score(labels, scores["combined"]) == roc_auc_score(labels, scores["mean"])


def test_a_small_single_machine_does_not_saturate():
    """Thirty normal clips, and anomalies that lie far beyond all of them."""
    normality = calibrate(make_clips(0, (30,)), make_clips(1, (3,)))
    normal, far_away = make_clips(2, (30,)), make_clips(3, (30,), nll=1000.0)
    labels = [0] * 30 + [1] * 30
    for rule in ("mean", "combined"):
        scores = [RULES[rule](clips, normality) for clips in (normal, far_away)]
        assert roc_auc_score(labels, np.concatenate(scores)) == 1
        assert len(np.unique(scores[1])) == 30
