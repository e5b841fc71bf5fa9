"""Checkpoints of a run, written by orbax, which no other file imports.

Each step holds three items: `model` (the flow), `trainer` (optimiser, step and random key, which
only training needs) and `card` (JSON: config, machine IDs, front-end statistics, and digests of the
arrays of the other two, which are compared when these are restored). Two steps are kept: the last
one, and the one that validation says has surely gained most over the start.
"""

import hashlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import iscoroutine
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from flowasd.errors import UserError
from flowasd.run.records import Damaged, damaged, sealed, unsealed
from flowasd.run.workdir import REPEAT

Tree = TypeVar("Tree")

# What a card must hold.
CARD = {
    "data": str,
    "config": dict,
    "machine_ids": list,
    "mean": list,
    "std": list,
    "start": str,
    "digests": dict,
    "gain": int | float,
}
REMEDY = (
    "remove the folder of the damaged step, and the same command goes on from the one before, "
    "if there is one"
)


class Checkpoints:
    """The checkpoints under `workdir/checkpoints`.

    Args:
        workdir: Folder of the run.
        create: If true, all processes write together, and the folder is made if it is missing. If
            false, this process reads by itself, and the folder must hold a checkpoint.

    Raises:
        UserError: If there is no checkpoint and `create` is false.
    """

    def __init__(self, workdir: Path, *, create: bool = False):
        folder = workdir.absolute() / "checkpoints"
        if not create and not folder.is_dir():
            raise UserError(f"{workdir}: no checkpoint here; train first, with --workdir={workdir}")
        if create:
            policy, gain = ocp.checkpoint_managers, partial(_gain, folder)
            keep_best = policy.BestN(get_metric_fn=gain, n=1)
            options = ocp.CheckpointManagerOptions(
                best_fn=gain,
                best_mode="max",
                preservation_policy=policy.AnyPreservationPolicy([policy.LatestN(1), keep_best]),
                enable_async_checkpointing=False,
            )
        else:
            alone = ocp.options.MultiprocessingOptions(active_processes={jax.process_index()})
            options = ocp.CheckpointManagerOptions(
                create=False,
                read_only=True,
                save_interval_steps=0,  # orbax warns of another one where it only reads
                enable_async_checkpointing=False,
                multiprocessing_options=alone,
            )
        try:
            with _quiet():  # reading is no reason to warn
                self._manager = ocp.CheckpointManager(
                    folder, item_names=("model", "trainer", "card"), options=options
                )
        except (LookupError, TypeError, ValueError) as error:
            raise damaged(folder, error, REMEDY) from error

    @property
    def latest(self) -> int | None:
        """The last step that was saved; `None` if there is none."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """The steps that are kept, the earliest first."""
        return sorted(self._manager.all_steps())

    @property
    def best(self) -> int:
        """The step that has surely gained most over the start, which itself counts as 0.

        Raises:
            UserError: If there is no step at all, or a card is damaged.
        """
        if not self.steps:
            raise UserError(f"{self._manager.directory}: no finished checkpoint; train first")
        return max(self.steps, key=lambda step: self.card(step)["gain"])

    def save(
        self, step: int, model: Any, trainer: Any, card: Mapping[str, Any], gain: float
    ) -> None:
        """Writes one step; `model` and `trainer` are pytrees of arrays.

        The step with the largest gain is kept for scoring, beside the last one.

        Raises:
            UserError: If the step cannot be written, such as on a full disk.
        """
        digests = {"model": _digest(model), "trainer": _digest(trainer)}
        items = ocp.args.Composite(
            model=ocp.args.StandardSave(model),
            trainer=ocp.args.StandardSave(trainer),
            card=ocp.args.JsonSave(sealed({**card, "digests": digests, "gain": gain})),
        )
        try:
            with _hidden_late_failures():
                self._manager.save(step, args=items, metrics={"validation_gain": gain})
        except Exception as error:  # orbax raises plain exceptions where a disk is full
            if isinstance(error, UserError) or jax.process_count() > 1:
                raise  # another process may have been lost
            why = str(error).strip().split("\n", 1)[0] or type(error).__name__
            raise UserError(
                f"{self._manager.directory / str(step)} cannot be written ({why}); mend this, and "
                "the same command goes on from the checkpoint before"
            ) from error

    def card(self, step: int) -> dict[str, Any]:
        """Returns config, machine IDs and front-end statistics of a step.

        Raises:
            UserError: If the checkpoint is damaged or of another format.
        """
        folder = Path(self._manager.directory / str(step))
        card = unsealed(folder, self._restore(step, "card", ocp.args.JsonRestore()), REPEAT)
        if wrong := [name for name, kind in CARD.items() if not isinstance(card.get(name), kind)]:
            raise damaged(folder, f"the card lacks {', '.join(wrong)}", REPEAT)
        return card

    def restore(self, step: int, item: str, template: Tree) -> Tree:
        """Restores `model` or `trainer`.

        Args:
            step: A step that was saved.
            item: `"model"` or `"trainer"`.
            template: A tree of arrays or of `jax.ShapeDtypeStruct` with the shapes that were saved.
                The restored arrays lie on the same devices as those of the template. If these
                name no devices, they lie on the first device of this process.

        Raises:
            UserError: If the checkpoint is damaged.
        """
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or here
            ),
            template,
        )
        restored = self._restore(step, item, ocp.args.StandardRestore(abstract))
        if _digest(restored) != self.card(step)["digests"].get(item):
            raise self._damaged(step, "its arrays are not what was written")
        return restored

    def remove(self, step: int) -> None:
        """Removes a step."""
        self._manager.delete(step)

    def _restore(self, step: int, item: str, args: ocp.args.CheckpointArgs) -> Any:
        try:
            with _hidden_late_failures():
                return self._manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]
        except Exception as error:  # orbax raises plain exceptions where arrays are damaged
            raise self._damaged(step, type(error).__name__) from error

    def _damaged(self, step: int, why: str) -> Damaged:
        folder = self._manager.directory / str(step)
        return Damaged(f"{folder}: this checkpoint is damaged ({why}); {REMEDY}")

    def close(self) -> None:
        """Waits until all is written and releases the folder."""
        self._manager.close()


def _digest(tree: Any) -> str:
    """The digest of all arrays of a tree."""
    digest = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(tree)):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax's warnings off the terminal, of Python users too."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _hidden_late_failures() -> Iterator[None]:
    """Prints nothing of reads and writes that go on after one has failed.

    Orbax gives up at the first array that is damaged, or that finds no room, and closes its event
    loop. What ends later fails where nobody can catch it: Python, asyncio and orbax would report
    each with a traceback. This stays so after a failure, since the last may end at any time.
    """
    usual = sys.unraisablehook
    logs = [logging.getLogger(name) for name in ("asyncio", "absl")]

    def hook(failure: Any) -> None:
        read = failure.object
        abandoned = iscoroutine(read) and "orbax" in read.cr_code.co_filename
        if not abandoned and str(failure.exc_value) != "Event loop is closed":
            usual(failure)

    def told(record: logging.LogRecord) -> bool:
        late = ("exception was never retrieved", "run() raised an exception")
        return not any(words in record.getMessage() for words in late)

    sys.unraisablehook = hook
    for log in logs:
        log.addFilter(told)
    yield
    sys.unraisablehook = usual
    for log in logs:
        log.removeFilter(told)


def _gain(folder: Path, metrics: Any) -> float:
    gain = metrics.get("validation_gain") if isinstance(metrics, Mapping) else None
    if not isinstance(gain, int | float):
        raise damaged(folder, "a checkpoint without its validation gain", REMEDY)
    return gain
