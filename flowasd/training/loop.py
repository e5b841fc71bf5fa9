"""The loop of training: updates and validations, until the held-out NLL has turned."""

import math
from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

from flax import nnx
from jax.sharding import Mesh
from tqdm import tqdm

from flowasd.config import TrainConfig
from flowasd.flow.glow import Glow
from flowasd.run.metric_log import Row
from flowasd.training import parallel
from flowasd.training.bank import Bank, BatchSource
from flowasd.training.step import TrainState
from flowasd.training.updates import Diverged, updates
from flowasd.training.validation import sure_gain, validator


class Data(NamedTuple):
    """What is trained on, in memory or on disk, and what is validated on.

    Attributes:
        train: Where batches come from.
        validation: The held-out clips.
        names: Name of every training clip, if it has one.
    """

    train: BatchSource
    validation: Bank
    names: Sequence[str] = ()


def has_turned(validated: Sequence[float], patience: int, half: int) -> bool:
    """Whether the held-out NLL falls no more, which is asked from half of the updates on.

    Before that the learning rate is high, and the NLL may lie above that of the start for long.

    Args:
        validated: The NLL of every validation, the first one that of the start.
        patience: The number of the last validations, which bring no lower NLL than those before.
        half: Validations after the start in half of the updates.
    """
    enough = len(validated) > max(patience, half)
    return enough and min(validated[-patience:]) >= min(validated[:-patience])


def run_steps(
    config: TrainConfig,
    graph: nnx.GraphDef[Glow],
    start: TrainState,
    data: Data,
    mesh: Mesh,
    restored: TrainState | None = None,
    validated: Sequence[float] = (),
) -> Iterator[tuple[TrainState, Row]]:
    """Trains until the held-out NLL has turned or the last step is done.

    The NLL is validated before the first update, every `eval_every` steps, and after the last.

    Args:
        config: The `train` part of the run's config, `for_clips`.
        graph: Structure of the flow.
        start: The state before the first update.
        data: What is trained and validated on.
        mesh: The devices.
        restored: The state that training goes on from, if it is a later one.
        validated: The NLL of every validation up to the restored state.

    Yields:
        The state (valid until the next one is asked for, since its memory is used again) and its
        metrics, among them `validation_nll` and `validation_gain` where it was validated.

    Raises:
        Diverged: If loss, gradient or held-out NLL are no longer finite.
    """
    assert config.steps is not None, "see TrainConfig.for_clips"
    nlls, half = list(validated), math.ceil(config.steps / 2 / config.eval_every)
    validate = validator(data.validation, graph, mesh)
    at_start = cache(partial(validate, start))  # a restored run computes it when it validates

    def validation(state: TrainState) -> Row:
        clips = at_start() if state is start else validate(state)
        nlls.append(float(clips.mean()))
        if not math.isfinite(nlls[-1]):
            raise Diverged(int(state.step), state)
        return {"validation_nll": nlls[-1], "validation_gain": sure_gain(at_start(), clips)}

    state = start if restored is None else restored
    if restored is None:
        yield start, {"step": 0} | validation(start)
    first, hidden = int(state.step), None if parallel.is_first() else True
    with tqdm(total=config.steps, initial=first, unit="step", desc="train", disable=hidden) as bar:
        if has_turned(nlls, config.patience, half):
            return
        for reached, row in updates(config, graph, state, data.train, mesh):
            if row["step"] % config.eval_every == 0 or row["step"] == config.steps:
                row |= validation(reached)
                bar.set_postfix(validation_nll=f"{row['validation_nll']:.4f}", refresh=False)
            yield reached, row
            bar.update(config.log_every)
            if has_turned(nlls, config.patience, half):
                return
