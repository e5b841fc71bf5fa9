"""The two flows that are measured, as configs that both sides build their flow from."""

from flowasd import default_config as default
from flowasd.typing import Config


def shape_config(shape: str) -> Config:
    """The config of a shape.

    Args:
        shape: `mel`, the default config; or `image`, the classic Glow with L = 3, K = 8, width 128
            on 32 patches of 32 frames by 128 mel bands.
    """
    config = default.get_config()
    if shape == "image":
        level = default.level(squeeze=(2, 2), steps=8, width=128, kernel=(3, 3), remat=True)
        config.model.levels = (level, level, level)
        config.train.update({"batch_size": 32, "learning_rate": 1e-3, "log_every": 1})
    return config


def glow_flops(config: Config) -> float:
    """Floating-point operations of the log-density of one patch; a training step takes three times.

    Only matrix products count, two operations for each multiply and add: the invertible linear
    and the three layers of the coupling network at every position. What is done once a batch, such
    as the product of the invertible linear's factors, does not. Backward takes two products (by the
    weights, by the inputs) for each of forward, hence the convention of three.
    """
    time, mel, channels, flops = config.train.patch_length, config.frontend.n_mels, 1, 0
    for level in config.model.levels:
        time, mel = time // level.squeeze[0], mel // level.squeeze[1]
        channels *= level.squeeze[0] * level.squeeze[1]
        kept = channels // 2
        moved, taps = channels - kept, level.kernel[0] * level.kernel[1]
        network = taps * kept * level.width + level.width**2 + level.width * taps * 2 * moved
        flops += level.steps * time * mel * 2 * (channels**2 + network)
        channels = kept  # the other half goes to the base density
    return flops
