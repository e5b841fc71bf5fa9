"""Checkpoints of a run, written by orbax, which no other file imports.

Each step holds three items: `model` (the flow), `trainer` (optimiser, step and random key, which
only training needs) and `card` (JSON: config, machine IDs, front-end statistics). Two steps are
kept: the last one, and the one that validation says has surely gained most over the start.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import iscoroutine
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from flowasd.errors import UserError
from flowasd.run.records import FORMAT, check_format, damaged
from flowasd.run.workdir import REPEAT

Tree = TypeVar("Tree")

# What a card must hold.
CARD = {"data": str, "config": dict, "machine_ids": list, "mean": list, "std": list, "start": str}
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
        policy = ocp.checkpoint_managers
        gain = partial(_gain, folder)
        keep_best = policy.BestN(get_metric_fn=gain, n=1)
        options = ocp.CheckpointManagerOptions(
            create=create,
            read_only=not create,
            save_interval_steps=int(create),  # orbax warns of another one where it only reads
            best_fn=gain,
            best_mode="max",
            preservation_policy=policy.AnyPreservationPolicy([policy.LatestN(1), keep_best]),
            enable_async_checkpointing=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                active_processes=None if create else {jax.process_index()}
            ),
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
    def best(self) -> int:
        """The step that has surely gained most over the start, which itself counts as 0.

        Raises:
            UserError: If there is no step at all.
        """
        best = self._manager.best_step()
        step = self.latest if best is None else best
        if step is None:
            raise UserError(f"{self._manager.directory}: no finished checkpoint; train first")
        return step

    def save(
        self, step: int, model: Any, trainer: Any, card: Mapping[str, Any], gain: float
    ) -> None:
        """Writes one step; `model` and `trainer` are pytrees of arrays.

        The step with the largest gain is kept for scoring, beside the last one.
        """
        self._manager.save(
            step,
            args=ocp.args.Composite(
                model=ocp.args.StandardSave(model),
                trainer=ocp.args.StandardSave(trainer),
                card=ocp.args.JsonSave({"format": FORMAT} | dict(card)),
            ),
            metrics={"validation_gain": gain},
        )

    def card(self, step: int) -> dict[str, Any]:
        """Returns config, machine IDs and front-end statistics of a step.

        Raises:
            UserError: If the checkpoint is damaged or of another format.
        """
        card = self._restore(step, "card", ocp.args.JsonRestore())
        folder = Path(self._manager.directory / str(step))
        if not isinstance(card, dict):
            raise damaged(folder, "the card is not an object", REPEAT)
        check_format(folder, card.pop("format", 1), REPEAT)
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
        return self._restore(step, item, ocp.args.StandardRestore(abstract))

    def _restore(self, step: int, item: str, args: ocp.args.CheckpointArgs) -> Any:
        try:
            with _hidden_late_reads():
                return self._manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]
        except Exception as error:  # orbax raises plain exceptions where arrays are damaged
            raise UserError(
                f"{self._manager.directory / str(step)}: this checkpoint is damaged "
                f"({type(error).__name__}); {REMEDY}"
            ) from error

    def close(self) -> None:
        """Waits until all is written and releases the folder."""
        self._manager.close()


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
def _hidden_late_reads() -> Iterator[None]:
    """Prints nothing of reads that go on after another array has turned out to be damaged.

    Orbax gives up at the first damaged array and closes its event loop. Reads of other arrays that
    end later fail where nobody can catch it: Python and asyncio would report each with a traceback.
    This stays so after a failure, since the last of them may end at any time.
    """
    usual, log = sys.unraisablehook, logging.getLogger("asyncio")

    def hook(failure: Any) -> None:
        read = failure.object
        abandoned = iscoroutine(read) and "orbax" in read.cr_code.co_filename
        if not abandoned and str(failure.exc_value) != "Event loop is closed":
            usual(failure)

    def retrieved(record: logging.LogRecord) -> bool:
        return "exception was never retrieved" not in record.getMessage()

    sys.unraisablehook = hook
    log.addFilter(retrieved)
    yield
    sys.unraisablehook = usual
    log.removeFilter(retrieved)


def _gain(folder: Path, metrics: Any) -> float:
    gain = metrics.get("validation_gain") if isinstance(metrics, Mapping) else None
    if not isinstance(gain, int | float):
        raise damaged(folder, "a checkpoint without its validation gain", REMEDY)
    return gain
