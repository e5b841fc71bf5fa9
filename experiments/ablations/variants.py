"""The variants: each changes a few keys of `configs/slider.py`; `level.` is its only level."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import slider

MEL: dict[str, Any] = {"frontend.name": "log_mel", "frontend.n_bands": 128}
CONTRAST: dict[str, Any] = {"train.objective.name": "contrast"}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    # Front-end
    "24 bands": {"frontend.n_bands": 24},
    "32 bands": {"frontend.n_bands": 32},
    "48 bands": {"frontend.n_bands": 48},
    "64 bands": {"frontend.n_bands": 64},
    "128 mel bands": MEL,
    "n_fft 2048": {"frontend.n_fft": 2048, "frontend.hop_length": 1024},
    "decay 0.8": {"frontend.pooling.decay": 0.8},
    "decay 0.9": {"frontend.pooling.decay": 0.9},
    "decay 0.98": {"frontend.pooling.decay": 0.98},
    "the mean over time": {"frontend.pooling.decay": 1.0},
    "windows of 2 s": {
        "frontend.pooling.window": 2.0,
        "frontend.pooling.hop": 1.0,
        "frontend.pooling.decay": 0.85,
    },
    "windows of 5 s": {"frontend.pooling.window": 5.0, "frontend.pooling.hop": 2.5},
    "no pooling": {
        "frontend.pooling.window": 0.0,
        "frontend.n_fft": 16384,
        "frontend.hop_length": 4096,
        "train.patch_length": 32,
        "score.hop": 16,
        "level.kernel": (5, 1),
    },
    # Objective and flow
    "conditional steps": {"level.conditional": True},
    "contrast": CONTRAST,
    "contrast, 128 mel bands": CONTRAST | MEL,
    "width 16": {"level.width": 16},
    "width 256": {"level.width": 256},
    "2 steps of flow": {"level.steps": 2},
    "8 steps of flow": {"level.steps": 8},
    # Training
    "noise 0.03": {"train.noise": 0.03},
    "noise 0.2": {"train.noise": 0.2},
    "noise 0.3": {"train.noise": 0.3},
    "800 updates": {"train.steps": 800},
    "batch of 128": {"train.batch_size": 128},
    "weight decay 1": {"train.weight_decay": 1.0},
    # Bad ones, which a proxy must find out
    "noise 2": {"train.noise": 2.0},
    "6 bands": {"frontend.n_bands": 6},
    "the maximum over time": {"frontend.pooling.decay": 0.01},
}


def variant(name: str) -> ConfigDict:
    """Returns the config of a variant."""
    config = slider.get_config()
    for key, value in VARIANTS[name].items():
        *path, last = key.split(".")
        node = config
        for part in path:
            node = config.model.levels[0] if part == "level" else node[part]
        node[last] = value
    return config
