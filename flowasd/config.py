"""What a config must fulfil before a run begins."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from flax import nnx

from flowasd.calibration import SCORES
from flowasd.errors import UserError
from flowasd.flow.glow import make_glow
from flowasd.objective import OBJECTIVES
from flowasd.typing import Config

DTYPES = ("float32", "bfloat16")


def check_config(config: Config) -> None:
    """Raises a `UserError` that lists every value that cannot work."""
    try:
        problems = [f"config.{problem}" for problem in _problems(config)]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"the config lacks a key or has one of a wrong type: {error}") from error
    if problems:
        raise UserError("; ".join(problems))


def _problems(config: Config) -> Iterator[str]:
    train, score = config.train, config.score
    yield from _counts(config)
    for key in ("steps", "eval_every"):
        if train[key] % max(train.log_every, 1):
            yield f"train.{key}={train[key]} is not a multiple of train.log_every={train.log_every}"
    if not 0 <= train.warmup_steps < train.steps:
        yield f"train.warmup_steps={train.warmup_steps} is not in train.steps={train.steps}"
    if train.objective.name not in OBJECTIVES:
        names = ", ".join(OBJECTIVES)
        yield f"train.objective.name={train.objective.name} is not one of {names}"
    if train.objective.temperature <= 0:
        yield f"train.objective.temperature={train.objective.temperature} must be above 0"
    if config.model.dtype not in DTYPES:
        yield f"model.dtype={config.model.dtype} is not one of {', '.join(DTYPES)}"
    if score.rule not in SCORES:
        yield f"score.rule={score.rule} is not one of {', '.join(SCORES)}"
    if score.hop > train.patch_length:
        yield f"score.hop={score.hop} skips frames: train.patch_length={train.patch_length}"
    try:
        frames = nnx.eval_shape(
            partial(make_glow, config.model, n_mels=config.frontend.n_mels, n_machines=1, seed=0)
        ).frames_per_latent
    except (ValueError, ZeroDivisionError) as error:
        yield f"model with frontend.n_mels={config.frontend.n_mels} cannot be built: {error}"
    else:
        if train.patch_length % frames:
            yield f"train.patch_length={train.patch_length} is no multiple of {frames} (squeezes)"


def _counts(config: Config) -> Iterator[str]:
    """Numbers that must be at least 1, and kernels that must be odd."""
    counts = {
        "train": ("steps", "batch_size", "patch_length", "log_every", "eval_every"),
        "score": ("hop", "batch_size"),
        "frontend": ("sample_rate", "n_fft", "hop_length", "n_mels"),
        "model": ("embed",),
    }
    for part, keys in counts.items():
        for key in keys:
            if config[part][key] < 1:
                yield f"{part}.{key}={config[part][key]} must be at least 1"
    if not config.model.levels:
        yield "model.levels is empty"
    for i, level in enumerate(config.model.levels):
        for key in ("squeeze", "kernel", "steps", "width"):
            if min(np.atleast_1d(level[key])) < 1:
                yield f"model.levels[{i}].{key}={level[key]} must be at least 1"
        if any(size % 2 == 0 for size in level["kernel"]):
            yield f"model.levels[{i}].kernel={level['kernel']} must be odd"
