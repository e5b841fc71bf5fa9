"""The variants: each changes a few keys of `configs/slider.py`; `level.` is its only level."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import slider

SHARED: dict[str, Any] = {"level.conditional": False}
CONTRAST: dict[str, Any] = SHARED | {"train.objective.name": "contrast"}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    # Objectives
    "shared steps": SHARED,
    "contrast": CONTRAST,
    "contrast, weight 3": CONTRAST | {"train.objective.weight": 3.0},
    "contrast, temperature 0.2": CONTRAST | {"train.objective.temperature": 0.2},
    "contrast, temperature 0.5": CONTRAST | {"train.objective.temperature": 0.5},
    "contrast, temperature 0.2, weight 3": CONTRAST
    | {"train.objective.temperature": 0.2, "train.objective.weight": 3.0},
    "outlier": SHARED | {"train.objective.name": "outlier"},
    # Front-end
    "n_fft 1024": {
        "frontend.n_fft": 1024,
        "frontend.hop_length": 512,
        "train.patch_length": 64,
        "score.hop": 32,
    },
    "n_fft 4096": {"frontend.n_fft": 4096, "frontend.hop_length": 2048},
    "n_fft 32768": {"frontend.n_fft": 32768},
    "hop 2048": {"frontend.hop_length": 2048},
    "64 mel bands": {"frontend.n_bands": 64},
    # Size
    "width 32": {"level.width": 32},
    "width 256": {"level.width": 256},
    "kernel 1": {"level.kernel": (1, 1)},
    "kernel 9": {"level.kernel": (9, 1)},
    "4 steps of flow": {"level.steps": 4},
    # Training
    "noise 0.01": {"train.noise": 0.01},
    "noise 0.1": {"train.noise": 0.1},
    "noise 0.3": {"train.noise": 0.3},
    "400 updates": {"train.steps": 400},
    "batch of 16": {"train.batch_size": 16, "train.steps": 400},
    "weight decay 1": {"train.weight_decay": 1.0},
    # Bad ones, which a proxy must find out
    "20 updates": {"train.steps": 20, "train.warmup_steps": 10, "train.eval_every": 20},
    "noise 2": {"train.noise": 2.0},
    "8 mel bands": {"frontend.n_bands": 8},
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
