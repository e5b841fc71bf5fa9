"""The whole path on simulated data, for tests and drills.

    python -m flowasd.main --config=configs/smoke.py

Two CPU cores, under a minute. Its AUC means nothing: six test clips an ID, twenty steps.
"""

from configs import default
from flowasd.typing import Config


def get_config() -> Config:
    """Returns the default config, cut down in every direction."""
    config = default.get_config()
    config.data.validation = 0.1
    config.data.simulated.n_train = 8
    config.data.simulated.n_test = 3
    config.model.levels[0].steps = 2
    config.model.levels[0].width = 16
    config.train.steps = 20
    config.train.warmup_steps = 5
    config.train.log_every = 5
    config.train.eval_every = 10
    return config
