"""The converter, of front-ends and flows of every shape, against JAX."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from jax import export

from flowasd.errors import UserError
from flowasd.features.frontend import FrontendConfig, bands
from flowasd.features.pooling import PoolingConfig
from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import ModelConfig, make_glow
from flowasd.serving.to_onnx import convert
from tests.conftest import randomise

pytestmark = pytest.mark.slow
LEVEL = partial(LevelConfig, steps=2, width=8)
FLOWS = {
    "channels": (LEVEL(kernel=(5, 1)),),
    "scanned": (LEVEL(kernel=(1, 1), remat=True),),
    "sees the ID": (LEVEL(kernel=(1, 1), conditional=True),),
    "image": (
        LEVEL(squeeze=(2, 2), kernel=(3, 3)),
        LEVEL(squeeze=(2, 2), kernel=(3, 3), conditional=True),
    ),
}
FRONTENDS = {
    "mel": FrontendConfig(n_fft=256, hop_length=64, n_bands=10),
    "odd hop": FrontendConfig(name="log_linear", n_fft=256, hop_length=100, n_bands=10),
    "one window": FrontendConfig(
        n_fft=256, hop_length=128, n_bands=10, pooling=PoolingConfig(window=2.0)
    ),
    "windows": FrontendConfig(
        n_fft=256, hop_length=128, n_bands=10, pooling=PoolingConfig(window=0.05, hop=0.03)
    ),
}


def by_onnxruntime(function, x):
    """Converts a function of one array, and runs it on a batch of several clips."""
    (batch,) = export.symbolic_shape("batch")
    inputs = {"x": jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)}
    model = convert(lambda x: {"y": function(x)}, inputs, {}, {})
    (y,) = onnxruntime.InferenceSession(model).run(None, {"x": x})
    return np.asarray(y)


def assert_same(function, x, tolerance):
    """Compares a function that is converted with the same by JAX."""
    expected = np.asarray(jax.jit(function)(x))
    np.testing.assert_allclose(
        by_onnxruntime(function, x), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("levels", FLOWS.values(), ids=FLOWS)
def test_flows(levels):
    config = ModelConfig(levels=levels, embed=3)
    flow = randomise(make_glow(config, n_bands=8, n_machines=3, seed=0))
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype(np.float32)
    assert_same(flow.log_prob_machines, x, 1e-4)
    assert_same(jax.grad(lambda x: flow.log_prob_machines(x)[..., 1].sum()), x, 1e-3)


@pytest.mark.parametrize("frontend", FRONTENDS.values(), ids=FRONTENDS)
def test_front_ends(frontend):
    x = np.random.default_rng(0).normal(size=(3, 3000)).astype(np.float32)
    x[1, 500:] = 0  # on the floor
    assert_same(lambda x: bands(x, jnp.full(x.shape[0], 3000), frontend), x, 1e-3)


@pytest.mark.parametrize("n", [1, 7, 30, 1000, 16384])
def test_spectra(n):
    """Of lengths that are prime, that have unequal factors, and that have large ones."""
    x = np.random.default_rng(0).normal(size=(3, 2, n)).astype(np.float32)

    def spectrum(x):
        both = jnp.fft.rfft(x)
        return jnp.concatenate([both.real, both.imag], -1)

    expected = np.fft.rfft(x.astype(np.float64))
    expected = np.concatenate([expected.real, expected.imag], -1)
    found = by_onnxruntime(spectrum, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("hop", [8, 12, 5])
def test_overlapping_frames(hop):
    """Their hops divide the signal, share a factor with it, or have none."""
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    starts = np.arange(4) * hop
    frames = by_onnxruntime(lambda x: x[:, starts[:, None] + np.arange(2 * hop)], x)
    expected = np.lib.stride_tricks.sliding_window_view(x, 2 * hop, axis=1)[:, starts]
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: jnp.cumsum(x, 1), "the operation cumsum of this model cannot be exported"),
        (lambda x: x.astype(jnp.bfloat16), "bfloat16 cannot be exported"),
        (
            jax.vmap(lambda x: jax.lax.dynamic_slice(x, (x[0].astype(jnp.int32),), (2,))),
            "places that depend on the recording",
        ),
        (lambda x: jnp.fft.fft(x).real, "arrays of complex64"),
    ],
)
def test_what_has_no_counterpart_is_one_line(function, words):
    with pytest.raises(UserError, match=words):
        assert_same(function, np.zeros((2, 4), np.float32), 0)
