"""The `image` shape: the classic multi-scale Glow on patches of 32 frames by 128 mel bands.

    python -m flowasd.main --config=configs/slider_image.py --config.data.root=DIR

For accelerators; time and AUC there are not measured yet. On two CPU cores training takes many
hours.
"""

from typing import Any

from flowasd.config import default_config, level


def get_config() -> Any:
    """Returns the default config with the flow and the patches of the `image` shape."""
    config = default_config()
    config.model.levels = 3 * (
        level(squeeze=(2, 2), steps=12, width=256, kernel=(3, 3), remat=True),
    )
    config.frontend.update({"n_fft": 1024, "hop_length": 512})
    config.train.update({"batch_size": 64, "steps": 10000, "eval_every": 500})
    config.train.update({"learning_rate": 1e-3, "warmup_steps": 100})
    return config
