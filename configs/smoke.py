"""The whole path on simulated data, for tests and drills.

    python -m flowasd.main --config=configs/smoke.py

Two CPU cores, under a minute. Its AUC means nothing: it has six test clips of each ID and trains
for twenty steps.
"""

from typing import Any

from flowasd.config import default_config, level


def get_config() -> Any:
    """Returns the default config, cut down in every direction."""
    config = default_config()
    config.data.validation = 0.1
    config.data.simulated.n_train = 8
    config.data.simulated.n_test = 3
    config.frontend.n_bands = 32
    config.model.levels = (level(steps=2, width=16),)
    config.score.folds = 2
    config.train.steps = 20
    config.train.warmup_steps = 5
    config.train.log_every = 5
    config.train.eval_every = 10
    return config
