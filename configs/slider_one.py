"""One machine alone: the default run on what is louder than the machine's background.

    python -m flowasd.main --config=configs/slider_one.py --config.data.root=DIR

Half of what a band holds in its softest moments is taken away, which is the room as much as the
machine. It helps where the background varies from clip to clip, and costs a fault that never stops
a part of its score.
"""

from typing import Any

from flowasd.config import pooled_config


def get_config() -> Any:
    """Returns the config of `configs/slider.py` with half of the background taken away."""
    config = pooled_config()
    config.frontend.pooling.background = 0.5
    return config
