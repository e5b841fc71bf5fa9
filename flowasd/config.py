"""The config of a run: every group of keys, every check, and its two forms.

Users write and override an `ml_collections.ConfigDict`, which `default_config` makes. `parse` turns
it into the frozen `RunConfig` that everything else takes.

    python -m flowasd.config > docs/configuration.md
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from dataclasses import field
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from flax import nnx
from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference

from flowasd.data.source import DataConfig
from flowasd.errors import UserError
from flowasd.features.frontend import FrontendConfig, n_empty
from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import ModelConfig, make_glow
from flowasd.flow.objective import ObjectiveConfig
from flowasd.scoring.rules import RULES
from flowasd.settings import build, holds_settings, key, problems, walk

FEW_CLIPS = 400  # training clips; what is left to their number is the same for all fewer
UPDATES = 200, 1000, 4000  # the number of clips leads to the first at least, to the last at most
NOISE = 0.1  # for few clips


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Training."""

    steps: int | None = key(
        200, "updates; if None, by the number of training clips, from 200 to 4,000", minimum=1
    )
    batch_size: int = key(32, "patches of an update", minimum=1)
    patch_length: int = key(32, "length of a patch", unit="frames", minimum=1)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    noise: float | None = key(
        0.03,
        "noise on training patches; if None, 0.1 for up to 400 training clips, less for more",
        unit="standard deviations of the training set",
        minimum=0,
    )
    learning_rate: float = key(2e-3, "peak learning rate of AdamW", above=0)
    warmup_steps: int = key(50, "steps over which the learning rate rises from 0", minimum=0)
    weight_decay: float = key(0.0, "weight decay of AdamW", minimum=0)
    clip_norm: float = key(1.0, "largest global norm of a gradient", above=0)
    log_every: int = key(20, "steps between logged metrics; one dispatch", minimum=1)
    eval_every: int = key(40, "steps between validations, each with a checkpoint", minimum=1)
    patience: int = key(
        3,
        "validations without a lower held-out NLL after which training stops in its second half; "
        "if steps is None, a tenth of all at least",
        minimum=1,
    )

    def for_clips(self, count: int) -> "TrainConfig":
        """Returns the settings of a training on so many clips, where nothing is `None` any more.

        The noise is the width of a kernel around every training clip: the more clips there are,
        the narrower it may be. From 400 clips on the updates are half as many as the clips, up to
        1,000; from 4,000 clips on they are a quarter as many, up to 4,000. The patience is then a
        tenth of the validations at least.
        """
        share = max(count / FEW_CLIPS, 1)
        steps, noise, patience = self.steps, self.noise, self.patience
        if steps is None:
            fewest, many, most = UPDATES
            steps = min(fewest * share, max(many, count / 4), most)
            validations = math.ceil(steps / self.eval_every)
            steps, patience = validations * self.eval_every, max(patience, validations // 10)
        if noise is None:
            noise = NOISE / math.sqrt(share)
        return dataclasses.replace(self, steps=steps, noise=noise, patience=patience)


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """The processes of one run, where no launcher such as Slurm tells them."""

    coordinator: str = key("", "HOST:PORT of process 0; if empty, as the launcher says, or alone")
    num_processes: int | None = key(None, "number of processes", minimum=1)
    process_id: int | None = key(None, "number of this process, from 0", minimum=0)


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Scoring."""

    rule: str = key("mean", "rule whose values are the column `score`", choices=RULES)
    hop: int = key(16, "distance of the patches that cover a clip", unit="frames", minimum=1)
    batch_size: int = key(32, "patches of a batch", minimum=1)
    alpha: float = key(0.1, "rate of false alarms that a decision allows", above=0, below=1)
    folds: int = key(5, "parts that cross-fitting leaves out in turn", minimum=2)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The run."""

    seed: int = key(0, "seed of splits, initial parameters, patches and noise", minimum=0)
    data: DataConfig = field(default_factory=DataConfig)
    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)

    def for_clips(self, count: int) -> "RunConfig":
        """Returns the config of a training on so many clips, see `TrainConfig.for_clips`."""
        return dataclasses.replace(self, train=self.train.for_clips(count))


def default_config() -> Any:  # a ConfigDict, whose attributes no type checker knows
    """Returns every key with its default, as a `ConfigDict` for a config file to change."""
    return _config_dict(RunConfig()).lock()


def pooled_config() -> Any:
    """Returns the config of configs/slider.py, which `flowasd.fit` uses by default.

    A clip is a pooled frame of 40 bands of equal width for every 12 seconds.
    """
    config = default_config()
    config.frontend.update({"name": "log_linear", "n_fft": 1024, "hop_length": 512, "n_bands": 40})
    config.frontend.pooling.update({"window": 12.0, "hop": 6.0})
    config.model.levels = (level(steps=4, width=64, kernel=(1, 1)),)
    config.train.update({"patch_length": 1, "noise": None, "steps": None})
    config.score.hop = 1
    return config


def level(**changes: Any) -> ConfigDict:
    """Returns a level of the flow with some keys changed, for `config.model.levels`."""
    return _config_dict(dataclasses.replace(LevelConfig(), **changes))


def _config_dict(settings: Any) -> ConfigDict:
    types = get_type_hints(type(settings))
    return ConfigDict({n: _value(getattr(settings, n), types[n]) for n in types})


def _value(value: Any, wanted: Any = None) -> Any:
    if dataclasses.is_dataclass(value):
        return _config_dict(value)
    if isinstance(value, tuple):
        return tuple(map(_value, value))
    if isinstance(wanted, UnionType):  # the key keeps its type while its value is None
        number = next(t for t in get_args(wanted) if t is not NoneType)
        return FieldReference(value, field_type=number)
    return value


def _fields(settings: Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(settings)


def parse(config: ConfigDict) -> RunConfig:
    """Turns a user's config into that of a run.

    Raises:
        UserError: If a key is missing, unknown or of another type, or values cannot work; the
            message lists all such values.
    """
    return check(build(RunConfig, _plain(config)))


def _plain(value: Any) -> Any:
    """Turns `ConfigDict`s, in tuples too, into dictionaries."""
    if isinstance(value, ConfigDict):
        return {name: _plain(item) for name, item in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def check(config: RunConfig) -> RunConfig:
    """Returns the config with an absolute `data.root`, if there is one.

    Raises:
        UserError: If values cannot work; the message lists all of them.
    """
    if found := [f"config.{problem}" for problem in _problems(config)]:
        raise UserError("; ".join(found))
    if not config.data.root:
        return config
    root = os.path.abspath(Path(config.data.root).expanduser())  # a link keeps its own name
    return dataclasses.replace(config, data=dataclasses.replace(config.data, root=root))


def _problems(config: RunConfig) -> Iterator[str]:
    yield from problems(config)
    train, steps = config.train, config.train.steps
    for name in ("steps", "eval_every"):
        if train.log_every > 0 and (getattr(train, name) or 0) % train.log_every:
            yield f"train.{name}={getattr(train, name)} is no multiple of train.log_every"
    fewest = UPDATES[0] if steps is None else steps
    if train.warmup_steps >= fewest:
        yield f"train.warmup_steps={train.warmup_steps} must be below train.steps={fewest}"
    if config.score.hop > train.patch_length:
        yield f"score.hop={config.score.hop} skips frames: train.patch_length={train.patch_length}"
    if not config.data.root and config.frontend.hop_length > config.data.simulated.n_samples:
        yield f"frontend.hop_length={config.frontend.hop_length} is longer than a clip"
    if not any(problems(config.frontend)) and (empty := n_empty(config.frontend)):
        yield f"frontend.n_fft={config.frontend.n_fft} leaves {empty} bands without a frequency"
    yield from _model_problems(config)


def _model_problems(config: RunConfig) -> Iterator[str]:
    levels = config.model.levels
    if not levels:
        yield "model.levels is empty"
    for i, spec in enumerate(levels):
        if 0 in spec.squeeze or spec.squeeze[0] < 1:
            yield f"model.levels[{i}].squeeze={spec.squeeze} must be at least 1 (a band may be -1)"
        if any(size % 2 == 0 for size in spec.kernel):
            yield f"model.levels[{i}].kernel={spec.kernel} must be odd"
    if any(problems(config.model)) or config.frontend.n_bands < 1:
        return  # said already; such a flow cannot be built
    make = partial(
        make_glow, config.model, n_bands=config.frontend.n_bands, n_machines=1, seed=config.seed
    )
    try:
        frames = nnx.eval_shape(make).frames_per_latent
    except (ValueError, ZeroDivisionError) as error:
        yield f"model with frontend.n_bands={config.frontend.n_bands} cannot be built: {error}"
    else:
        if config.train.patch_length % frames:
            yield f"train.patch_length={config.train.patch_length} is no multiple of {frames}"


def reference() -> str:
    """Returns `docs/configuration.md`: a table of the keys of every group."""
    return "\n".join([_PREFACE, *_tables(RunConfig(), "")])


_PREFACE = """# Configuration

A config file changes the defaults below: its `get_config` returns `flowasd.config.default_config()`
with some keys set, and `--config.KEY=VALUE` overrides a key on the command line. This page is made
by `python -m flowasd.config`."""


def _tables(settings: Any, prefix: str) -> Iterator[str]:
    yield f"\n## {settings.__doc__.strip().splitlines()[0].rstrip('.')}\n"
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    groups = []
    for f in _fields(settings):
        value = getattr(settings, f.name)
        if "key" in f.metadata and not holds_settings(value):
            for path, default, declared in walk(settings):
                if path == f.name:
                    yield f"| `{prefix}{path}` | `{default!r}` | {_meaning(declared)} |"
        else:
            groups.append((f"{prefix}{f.name}", value))
    for path, value in groups:
        if isinstance(value, tuple):
            yield from _tables(value[0], f"{path}[i].")
        else:
            yield from _tables(value, f"{path}.")


def _meaning(declared: Any) -> str:
    words = declared.meaning + (f" ({declared.unit})" if declared.unit else "")
    bounds = [
        f"at least {declared.minimum:g}" if declared.minimum is not None else "",
        f"at most {declared.maximum:g}" if declared.maximum is not None else "",
        f"above {declared.above:g}" if declared.above is not None else "",
        f"below {declared.below:g}" if declared.below is not None else "",
        "one of " + ", ".join(f"`{c}`" for c in declared.choices) if declared.choices else "",
    ]
    return "; ".join([words, *filter(None, bounds)])


if __name__ == "__main__":
    print(reference())
