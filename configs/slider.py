"""The default run: NLL training, clip-averaged NLL as the score, a clip as one pooled frame.

    python -m flowasd.main --config=configs/slider.py --config.data.root=DIR

Two CPU cores, under a minute with few clips. The number of clips decides noise and updates: up to
400 training clips get noise of 0.1 and 200 updates, more get less noise and more updates (see
experiments/clips). On few-shot folds of DCASE 2020 slide rail (five folds, three seeds,
experiments/slider_fewshot) AUC 96.6 ± 0.5 and pAUC 88.8 ± 1.9; every machine alone 96.6 and 88.6.
"""

from typing import Any

from flowasd.config import default_config, level


def get_config() -> Any:
    """Returns the config of a flow over pooled frames of 40 bands of equal width."""
    config = default_config()
    config.frontend.update({"name": "log_linear", "n_fft": 1024, "hop_length": 512, "n_bands": 40})
    config.frontend.pooling.update({"window": 12.0, "hop": 6.0})
    config.model.levels = (level(steps=4, width=64, kernel=(1, 1)),)
    config.train.update({"patch_length": 1, "noise": None, "steps": None})
    config.score.hop = 1
    return config
