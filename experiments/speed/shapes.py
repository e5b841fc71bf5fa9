"""The two flows that are measured, as configs that both sides build their flow from."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flax import nnx

from flowasd.config import RunConfig, default_config, level, parse
from flowasd.flow.glow import make_glow


def shape_config(shape: str, changes: Mapping[str, Any] | None = None) -> RunConfig:
    """Returns the config of a shape.

    Args:
        shape: `mel`, the default config; or `image`, the classic Glow with L = 3, K = 8, width 128
            on 32 patches of 32 frames by 128 mel bands.
        changes: Values of other keys, such as `{"train.batch_size": 64}`.
    """
    config = default_config()
    if shape == "image":
        block = level(squeeze=(2, 2), steps=8, width=128, kernel=(3, 3), remat=True)
        config.model.levels = (block, block, block)
        config.train.update({"batch_size": 32, "learning_rate": 1e-3, "log_every": 1})
    config.update_from_flattened_dict(changes or {})
    return parse(config)


def patch_flops(config: RunConfig) -> int:
    """Floating-point operations of the log-density of one patch; a training step takes three times.

    Backward takes two products (by the weights, by the inputs) for each of forward, hence the
    convention of three.
    """
    n_bands = config.frontend.n_bands
    flow = nnx.eval_shape(partial(make_glow, config.model, n_bands=n_bands, n_machines=1, seed=0))
    return flow.flops(config.train.patch_length)
