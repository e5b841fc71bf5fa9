"""The Gaussian that a flow starts from, against numpy, scikit-learn and known densities."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import FactorAnalysis

from configs import slider
from flowasd.config import parse
from flowasd.data.simulated.corpus import simulate_clip
from flowasd.features.compute import compute_bands
from flowasd.features.frontend import STD_FLOOR, fit_standardisation, standardise
from flowasd.training import gaussian
from flowasd.training.gaussian import fit_gaussian

BANDS = 16
FLOOR = np.full(BANDS, 1e-3)


def draw(seed, counts, frames=1, factors=2, noise=0.3):
    """Clips of some IDs from Gaussians with a covariance of some factors plus a diagonal.

    Args:
        seed: Of the clips; means and covariance are the same for all seeds.
        counts: Clips of every ID.
        frames: Frames of every clip.
        factors: Number of factors.
        noise: Standard deviation of the diagonal part.

    Returns:
        The clips, their numbers of frames, their machine indices, the means and the covariance.
    """
    fixed, rng = np.random.default_rng(99), np.random.default_rng(seed)
    mean = fixed.normal(size=(len(counts), BANDS))
    loading = fixed.normal(size=(BANDS, factors))
    covariance = loading @ loading.T + noise**2 * np.eye(BANDS)
    machine = np.repeat(np.arange(len(counts)), counts)
    clips = [rng.multivariate_normal(mean[m], covariance, frames) for m in machine]
    return clips, np.full(len(clips), frames), machine, mean, covariance


def nll(fitted, clips, machine):
    """NLL of clips in nats per dimension."""
    densities = [multivariate_normal(mean, fitted.covariance) for mean in fitted.mean]
    nats = [densities[m].logpdf(clip).mean() for clip, m in zip(clips, machine, strict=True)]
    return -np.mean(nats) / clips[0].shape[1]


def test_many_clips_show_the_density_itself():
    clips, n_frames, machine, mean, covariance = draw(0, (3000, 1000), frames=2)
    fitted = fit_gaussian(clips, n_frames, machine, FLOOR)
    np.testing.assert_allclose(fitted.mean, mean, atol=0.15)
    np.testing.assert_allclose(fitted.covariance, covariance, atol=0.05 * np.trace(covariance))
    upper = fitted.precision_factor
    np.testing.assert_array_equal(upper, np.triu(upper))
    np.testing.assert_allclose(upper.T @ upper, np.linalg.inv(fitted.covariance), rtol=1e-9)


def test_without_other_structures_it_is_scikit_learns_ledoit_wolf():
    """Nine clips are too few to compare structures; the means take away a part of the spread."""
    clips, n_frames, machine, *_ = draw(1, (5, 4), frames=2, noise=3.0)
    fitted = fit_gaussian(clips, n_frames, machine, FLOOR)
    frames, owner = np.concatenate(clips), np.repeat(machine, 2)
    mean = np.stack([frames[owner == m].mean(0) for m in range(2)])
    away = frames - mean[owner]
    scale = np.sqrt(np.mean(away**2, 0))
    expected = LedoitWolf(assume_centered=True).fit(away / scale).covariance_
    expected *= np.outer(scale, scale)
    np.testing.assert_allclose(fitted.mean, mean)
    np.testing.assert_allclose(fitted.covariance, expected * (1 + 2 / 9) / (1 - 2 / 9), rtol=1e-9)
    assert fitted.structure == "Ledoit-Wolf"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_factors_are_those_of_scikit_learn(count):
    clips, _, machine, *_ = draw(4, (30, 30), frames=3, factors=3)
    x = np.concatenate(clips) - np.mean(np.concatenate(clips), 0)
    frames = gaussian.Frames(x, np.arange(60).repeat(3), machine.repeat(3))
    expected = FactorAnalysis(count, svd_method="lapack").fit(x).get_covariance()
    np.testing.assert_allclose(gaussian.factors(count)(frames), expected, rtol=1e-9, atol=1e-9)


def test_structure_is_the_one_that_left_out_clips_confirm():
    clips, n_frames, machine, mean, covariance = draw(2, (20, 20))
    fitted = fit_gaussian(clips, n_frames, machine, FLOOR)
    assert fitted.structure == "2 factors"
    unseen, _, owner, *_ = draw(3, (500, 500))
    truth = gaussian.Gaussian(mean, covariance, "known")
    away = gaussian.Frames(np.concatenate(clips) - mean[machine], np.arange(40), machine)
    shrunk = fitted._replace(covariance=gaussian.ledoit_wolf(away))
    assert nll(truth, unseen, owner) < nll(fitted, unseen, owner) < nll(shrunk, unseen, owner)


@pytest.fixture(scope="module")
def simulated():
    """Thirty clips of a simulated machine to train on, and thirty that are not."""
    return [simulate_clip("id_00", np.random.default_rng(i)) for i in range(60)]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 3, 5, 10])
def test_unseen_clips_are_nearly_as_likely_as_training_clips(seconds, simulated):
    """Within one nat per dimension, however few the clips and however short: SIMULATED."""
    frontend = parse(slider.get_config()).frontend
    heard = compute_bands([clip[: 16000 * seconds] for clip in simulated], frontend, 60)
    for count in (3, 10, 30):
        statistics = fit_standardisation(heard[:count])
        train, unseen = (
            [standardise(clip, statistics) for clip in clips]
            for clips in (heard[:count], heard[30:])
        )
        owner, floor = np.zeros(30, int), (STD_FLOOR / statistics.std) ** 2
        fitted = fit_gaussian(train, np.ones(count, int), owner[:count], floor)
        assert abs(nll(fitted, unseen, owner) - nll(fitted, train, owner[:count])) < 1


def test_a_single_frame_gives_a_density():
    fitted = fit_gaussian([np.zeros((1, BANDS))], np.ones(1, int), np.zeros(1, int), FLOOR)
    np.testing.assert_array_equal(fitted.mean, 0)
    np.testing.assert_allclose(fitted.covariance, np.diag(FLOOR))


def test_bands_that_hardly_move_get_the_variance_that_they_lack():
    """Among them bands that never move; sound in them moves the NLL by no more than the floor."""
    rng = np.random.default_rng(6)
    clips = list(rng.normal(size=(40, 5, BANDS)) * np.repeat([1, 1e-3, 0], [8, 4, 4]))
    floor = np.repeat([1e-3, 1.0], 8)
    fitted = fit_gaussian(clips, np.full(40, 5), np.zeros(40, int), floor)
    np.testing.assert_allclose(np.diag(fitted.covariance)[8:], 1)
    louder = np.repeat([0.0, 1.0], 8)
    energy = louder @ np.linalg.solve(fitted.covariance, louder)
    assert energy == pytest.approx(8, rel=0.05)


def test_more_frames_than_are_needed_are_thinned_out_within_every_id(monkeypatch):
    """An ID of few frames keeps one of them at least."""
    monkeypatch.setattr(gaussian, "MOST_FRAMES", 100)
    clips, n_frames, machine, *_ = draw(7, (50, 1), frames=10)
    fitted = fit_gaussian(clips, n_frames, machine, FLOOR)
    some = np.concatenate(clips[:50])[::6]
    np.testing.assert_allclose(fitted.mean[0], some.mean(0))
    np.testing.assert_allclose(fitted.mean[1], clips[50][::6].mean(0))


def test_an_ids_only_clip_is_no_trouble():
    clips, n_frames, machine, *_ = draw(8, (12, 1, 1))
    fitted = fit_gaussian(clips, n_frames, machine, FLOOR)
    assert np.isfinite(fitted.precision_factor).all()
    np.testing.assert_allclose(fitted.mean[1:], np.concatenate(clips[-2:]))
