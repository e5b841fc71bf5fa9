"""The best detector of several machines of one kind: how far a clip has moved towards the others.

    python -m flowasd.main --config=configs/slider_best.py --config.data.root=DIR

It takes two machine IDs or more. On few-shot folds of DCASE 2020 slide rail (five folds, three
seeds, experiments/slider_fewshot) AUC 99.7 ± 0.0 and pAUC 98.6 ± 0.2.
"""

from typing import Any

from flowasd.config import default_config, level


def get_config() -> Any:
    """Returns the config of a flow over pooled frames of 128 mel bands, and of `relative`."""
    config = default_config()
    config.frontend.update({"n_fft": 1024, "hop_length": 512})
    config.frontend.pooling.update({"window": 12.0, "hop": 6.0})
    config.model.levels = (level(steps=4, width=64, kernel=(1, 1)),)
    config.train.update({"patch_length": 1, "noise": 0.2})
    config.score.update({"rule": "relative", "hop": 1})
    return config
