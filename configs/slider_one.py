"""One machine alone: the default run on what is louder than the machine's background.

    python -m flowasd.main --config=configs/slider_one.py --config.data.root=DIR

Half of what a band holds in its softest moments is taken away, which is the room as much as the
machine. It helps where the background varies from clip to clip, and costs a fault that never stops
a part of its score. On few-shot folds of DCASE 2020 slide rail (five folds, three seeds, every
machine alone, experiments/slider_fewshot) AUC 96.8 ± 0.1 and pAUC 88.4 ± 0.5, where
configs/slider.py has 96.6 and 88.9; on ID 02 90.8 and 68.4 instead of 88.7 and 65.2.
"""

from typing import Any

from flowasd.config import pooled_config


def get_config() -> Any:
    """Returns the config of `configs/slider.py` with half of the background taken away."""
    config = pooled_config()
    config.frontend.pooling.background = 0.5
    return config
