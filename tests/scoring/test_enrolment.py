"""Enrolling a machine against scipy's Gaussians, which a fresh flow's densities are."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.linalg import null_space
from scipy.stats import multivariate_normal

from flowasd.errors import UserError
from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import Glow, ModelConfig
from flowasd.scoring.calibration import calibrate
from flowasd.scoring.enrolment import Row, enrol, extended, extended_normality, shrunk
from flowasd.scoring.frame_nll import frame_nll
from flowasd.scoring.rules import Clips, joined

BANDS = 6
SIZE = {"length": 2, "hop": 2}
LEVELS = {
    "frames": (LevelConfig((1, -1), 2, 8, (1, 1)),),
    "two levels": (LevelConfig((2, 1), 1, 8, (1, 1)), LevelConfig((1, -1), 1, 8, (1, 1))),
}
RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(BANDS, BANDS)) / 2 + np.eye(BANDS)
COVARIANCE = ROOT @ ROOT.T
MEANS = 2 * RNG.normal(size=(4, BANDS))  # the last one is that of the new machine
UPPER = np.linalg.cholesky(np.linalg.inv(COVARIANCE)).T


def make_flow(levels, n_machines=3) -> Glow:
    """A flow that is the density of Gaussian frames."""
    config = ModelConfig(levels, embed=1)
    flow = Glow(config, n_bands=BANDS, n_machines=n_machines, rngs=nnx.Rngs(0))
    flow.start_at(*(jnp.asarray(a, jnp.float32) for a in (MEANS[:n_machines], UPPER)))
    return flow


def draw(seed, machine, count) -> list[np.ndarray]:
    """Clips of four frames, which are independent but for the clip's own offset."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(size=(count, 1, BANDS))
    z = (offset + rng.normal(size=(count, 4, BANDS))) / np.sqrt(2)
    return [*(MEANS[machine] + z @ np.linalg.inv(UPPER).T).astype(np.float32)]


def clips_of(flow, counts, seed) -> Clips:
    """Clips of some machines with their NLLs."""
    clips = [clip for m, count in enumerate(counts) for clip in draw((seed, m), m, count)]
    nlls = frame_nll(flow, clips, batch_size=32, **SIZE)
    return Clips(nlls, np.repeat(np.arange(len(counts)), counts))


@pytest.fixture(scope="module", params=LEVELS)
def flow(request):
    return make_flow(LEVELS[request.param])


@pytest.fixture(scope="module")
def normality(flow):
    return calibrate(clips_of(flow, (50, 50, 50), 0), clips_of(flow, (20, 20, 20), 1))


def james_stein(latents) -> np.ndarray:
    """The mean of a new machine by the formula, in coordinates outside the known means' plane."""
    known, count = MEANS[:3] @ UPPER.T, len(latents)
    outside = null_space(known - known.mean(0))
    free = outside.shape[1]
    away = (latents - known.mean(0)) @ outside
    scatter = ((away - away.mean(0)) ** 2).sum() + free  # one clip counts as scattering by 1
    shorter = (free - 2) * scatter / (count * free + 2) / count / (away.mean(0) ** 2).sum()
    return latents.mean(0) - min(shorter, 1) * outside @ away.mean(0)


@pytest.mark.parametrize("count", [1, 4])
def test_the_new_density_is_the_gaussian_around_the_shrunk_mean(count):
    """Shrunk in latent space, where every clip scatters by 1."""
    flow = make_flow(LEVELS["frames"])
    normality = calibrate(clips_of(flow, (9, 9, 9), 0), clips_of(flow, (3, 3, 3), 1))
    clips = draw(2, 3, count)
    row = enrol(flow, normality, clips, **SIZE)
    mean = np.linalg.solve(UPPER, james_stein(np.mean(clips, 1) @ UPPER.T))
    unseen = draw(3, 3, 5)
    nlls = frame_nll(extended(flow, [row]), unseen, batch_size=32, **SIZE)
    for clip, nll in zip(unseen, nlls, strict=True):
        for machine, centre in enumerate([*MEANS[:3], mean]):
            gaussian = multivariate_normal(centre, COVARIANCE)  # pyright: ignore[reportArgumentType]
            expected = -np.mean(gaussian.logpdf(clip)) / BANDS
            assert nll[:, machine].mean() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n_known", [1, 3])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("distance", [0, 1, 5])
def test_the_shrunk_mean_lies_nearer_than_the_clips_mean(n_known, count, distance):
    """On average over clips, wherever the machine lies."""
    rng = np.random.default_rng(0)
    known, mean = rng.normal(size=(n_known, 20, 1)), distance * rng.normal(size=(20, 1))
    clips = mean + rng.normal(size=(1000, count, 20, 1))
    means = np.array([shrunk(jnp.asarray(known), own) for own in clips])
    assert np.mean((means - mean) ** 2) < np.mean((clips.mean(1) - mean) ** 2)


def test_the_mean_is_shrunk_less_the_more_clips_there_are():
    known = jnp.asarray(MEANS[:3, :, None])
    clip = MEANS[3:, :, None]
    away = [np.abs(shrunk(known, np.repeat(clip, n, 0)) - clip[0]).max() for n in (1, 5, 1000)]
    assert away[0] > away[1] > away[2]
    assert away[2] < 0.01


def test_what_the_known_machines_tell_apart_is_not_shrunk():
    """A clip in the plane of the known means stays where it is; so does one where they span all."""
    for n_known, weight in ((3, [0.2, 0.5, 0.3]), (BANDS + 1, None)):
        known = np.random.default_rng(1).normal(size=(n_known, BANDS, 1))
        clip = np.average(known, 0, weight) if weight else RNG.normal(size=(BANDS, 1))
        np.testing.assert_allclose(shrunk(jnp.asarray(known), clip[None]), clip, atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 40])
def test_unseen_normal_clips_lie_about_where_the_calibration_says(count, flow, normality):
    """Within the spread for two clips and three; for many, as those of the other machines do."""
    row = enrol(flow, normality, draw(4, 3, count), **SIZE)
    wider, statistics = extended(flow, [row]), extended_normality(normality, row)
    unseen = draw(5, 3, 400)
    clips = Clips(frame_nll(wider, unseen, batch_size=32, **SIZE), np.full(400, 3))
    z = (joined(clips, statistics) - statistics.location[3]) / statistics.spread[3]
    assert np.abs(z.mean(0)).max() < (0.5 if count == 40 else 2)
    assert (z.std(0) > 0.5).all()
    assert (z.std(0) < (1.5 if count == 40 else 2.5)).all()


def test_the_other_machines_keep_their_rows(flow, normality):
    before = frame_nll(flow, draw(6, 0, 3), batch_size=32, **SIZE)
    row = enrol(flow, normality, draw(2, 3, 1), **SIZE)
    wider, statistics = extended(flow, [row]), extended_normality(normality, row)
    for narrow, wide in zip(flow.bases, wider.bases, strict=True):
        np.testing.assert_array_equal(wide.mean[...][:3], narrow.mean[...])
        np.testing.assert_array_equal(wide.log_scale[...][:3], narrow.log_scale[...])
    np.testing.assert_array_equal(statistics.location[:3], normality.location)
    for one, other in zip(
        before, frame_nll(flow, draw(6, 0, 3), batch_size=32, **SIZE), strict=True
    ):
        np.testing.assert_array_equal(one, other)  # the flow itself has not been changed


def test_a_flow_whose_steps_see_the_id_is_refused(normality):
    flow = make_flow((LevelConfig((1, -1), 2, 8, (1, 1), conditional=True),))
    with pytest.raises(UserError, match="conditional=False"):
        enrol(flow, normality, draw(2, 3, 1), **SIZE)


def test_a_row_has_the_shape_of_the_tables(flow, normality):
    row = enrol(flow, normality, draw(2, 3, 1), **SIZE)
    assert isinstance(row, Row)
    for base, mean, log_scale in zip(flow.bases, row.mean, row.log_scale, strict=True):
        assert mean.shape == log_scale.shape == base.mean.shape[1:]
    assert row.location.shape == row.spread.shape == normality.location.shape[1:]
