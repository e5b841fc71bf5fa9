"""What a config must fulfil before a run begins."""

import math
from collections.abc import Iterator

from flowasd.errors import UserError
from flowasd.scoring import RULES
from flowasd.typing import Config


def check_config(config: Config) -> None:
    """Raises a `UserError` that lists every value that cannot work."""
    try:
        problems = [f"config.{problem}" for problem in _problems(config)]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"the config lacks a key or has one of a wrong type: {error}") from error
    if problems:
        raise UserError("; ".join(problems))


def _problems(config: Config) -> Iterator[str]:
    train, score, frontend = config.train, config.score, config.frontend
    counts = {
        "train": ("steps", "batch_size", "patch_length", "log_every", "eval_every"),
        "score": ("hop", "batch_size"),
        "frontend": ("sample_rate", "n_fft", "hop_length", "n_mels"),
    }
    for part, keys in counts.items():
        for key in keys:
            if config[part][key] < 1:
                yield f"{part}.{key}={config[part][key]} must be at least 1"
                return
    for whole, part in (("steps", "eval_every"), ("eval_every", "log_every")):
        if train[whole] % train[part]:
            yield f"train.{whole}={train[whole]} is not a multiple of train.{part}={train[part]}"
    if train.warmup_steps >= train.steps:
        yield f"train.warmup_steps={train.warmup_steps} leaves nothing of train.steps={train.steps}"
    if score.rule not in RULES:
        yield f"score.rule={score.rule} is not one of {', '.join(RULES)}"
    if score.hop > train.patch_length:
        yield f"score.hop={score.hop} skips frames: train.patch_length={train.patch_length}"
    squeeze = [level["squeeze"] for level in config.model.levels]
    frames, mels = (math.prod(axis) for axis in zip(*squeeze, strict=True))
    if train.patch_length % frames:
        yield f"train.patch_length={train.patch_length} is not a multiple of {frames}, the squeezes"
    if frontend.n_mels % mels:
        yield f"frontend.n_mels={frontend.n_mels} is not a multiple of {mels}, the squeezes"
    if any(size % 2 == 0 for level in config.model.levels for size in level["kernel"]):
        yield "model.levels: kernels must be odd"
