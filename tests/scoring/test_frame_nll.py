"""Frame NLLs against the flow's own log-density, patch by patch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import Glow, ModelConfig
from flowasd.scoring.frame_nll import frame_nll


@pytest.fixture(scope="module")
def flow():
    """Its base densities differ between the IDs; a fresh flow's do not."""
    level = LevelConfig(squeeze=(1, 8), steps=2, width=8, kernel=(3, 1))
    flow = Glow(ModelConfig((level,), embed=4), n_bands=8, n_machines=3, rngs=nnx.Rngs(0))
    mean = flow.bases[0].mean
    mean[...] = jax.random.normal(jax.random.key(0), mean.shape)
    return flow


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 8)).astype(np.float32) for n in (20, 33, 5, 16)]


def test_frame_nll_is_the_mean_over_the_patches_that_cover_it(flow, clips):
    nlls = frame_nll(flow, clips, length=16, hop=8, batch_size=3)
    log_prob_frames = jax.jit(flow.log_prob_frames)
    for clip, nll in zip(clips, nlls, strict=True):
        assert nll.shape == (len(clip), 3)
        assert np.abs(np.diff(nll)).max() > 0.01  # under which ID makes a difference
        per_frame = [[] for _ in clip]
        repeated = np.tile(clip, (4, 1)) if len(clip) < 16 else clip
        for start in {*range(0, len(clip) - 15, 8), max(len(clip) - 16, 0)}:
            x = jnp.asarray(repeated[start : start + 16])[None, ..., None]
            under = [log_prob_frames(x, jnp.array([machine]))[0] for machine in range(3)]
            for i, values in enumerate(zip(*under, strict=True)):
                per_frame[(start + i) % len(clip)].append(-np.array(values) / 8)
        np.testing.assert_allclose(nll, [np.mean(v, 0) for v in per_frame], rtol=1e-4)


def test_scores_do_not_depend_on_batching(flow, clips):
    one = frame_nll(flow, clips, length=16, hop=16, batch_size=1)
    many = frame_nll(flow, clips, length=16, hop=16, batch_size=64)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_no_clips_no_scores(flow):
    assert frame_nll(flow, [], length=16, hop=8, batch_size=4) == []
