"""Checkpoints of a run, by orbax; no other file imports it.

Each step holds three items: `model` (the flow), `trainer` (what only training needs: optimiser,
step and random key) and `card` (JSON: config, machine IDs, front-end statistics). The last and the
best step by validation NLL are kept.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from flowasd.errors import UserError
from flowasd.run.records import FORMAT, check_format, damaged
from flowasd.run.workdir import REPEAT

Tree = TypeVar("Tree")

CARD = {"data", "config", "machine_ids", "mean", "std"}  # what a card must hold


class Checkpoints:
    """The checkpoints under `workdir/checkpoints`.

    Args:
        workdir: Folder of the run.
        create: Whether to write, all processes together, and the folder may be made; otherwise it
            must hold a checkpoint, and this process reads it by itself.

    Raises:
        UserError: If there is no checkpoint and `create` is false.
    """

    def __init__(self, workdir: Path, *, create: bool = False):
        folder = workdir.absolute() / "checkpoints"
        if not create and not folder.is_dir():
            raise UserError(f"{workdir}: no checkpoint here; train first, with --workdir={workdir}")
        policy = ocp.checkpoint_managers
        keep_best = policy.BestN(get_metric_fn=_validation_nll, reverse=True, n=1)
        self._manager = ocp.CheckpointManager(
            folder,
            item_names=("model", "trainer", "card"),
            options=ocp.CheckpointManagerOptions(
                create=create,
                read_only=not create,
                best_fn=_validation_nll,
                best_mode="min",
                preservation_policy=policy.AnyPreservationPolicy([policy.LatestN(1), keep_best]),
                enable_async_checkpointing=False,
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    active_processes=None if create else {jax.process_index()}
                ),
            ),
        )

    @property
    def latest(self) -> int | None:
        """The last step saved."""
        return self._manager.latest_step()

    @property
    def best(self) -> int:
        """The step with the lowest validation NLL; a `UserError` if there is no step at all."""
        step = self._manager.best_step() or self.latest
        if step is None:
            raise UserError(f"{self._manager.directory}: no finished checkpoint; train first")
        return step

    def save(
        self, step: int, model: Any, trainer: Any, card: Mapping[str, Any], validation_nll: float
    ) -> None:
        """Writes one step; `model` and `trainer` are pytrees of arrays."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                model=ocp.args.StandardSave(model),
                trainer=ocp.args.StandardSave(trainer),
                card=ocp.args.JsonSave({"format": FORMAT} | dict(card)),
            ),
            metrics={"validation_nll": validation_nll},
        )

    def card(self, step: int) -> dict[str, Any]:
        """Config, machine IDs and front-end statistics of a step.

        Raises:
            UserError: If the checkpoint is damaged or of another format.
        """
        card = self._restore(step, "card", ocp.args.JsonRestore())
        folder = Path(self._manager.directory / str(step))
        check_format(folder, card.pop("format", 1), REPEAT)
        if missing := CARD - card.keys():
            raise damaged(folder, f"card lacks {', '.join(sorted(missing))}", REPEAT)
        return card

    def restore(self, step: int, item: str, template: Tree) -> Tree:
        """Restores `model` or `trainer` to where the template lies, or to the first device here.

        Args:
            step: A step that was saved.
            item: Which of the two.
            template: A tree of arrays or of `jax.ShapeDtypeStruct`, of the saved shapes.
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
            return self._manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]
        except (KeyError, OSError, ValueError) as error:
            raise UserError(
                f"{self._manager.directory / str(step)}: this checkpoint is damaged "
                f"({type(error).__name__}); remove its folder, and the same command goes on "
                "from the one before, if there is one"
            ) from error

    def close(self) -> None:
        """Waits for what is being written and lets go of the folder."""
        self._manager.close()


def _validation_nll(metrics: Mapping[str, float]) -> float:
    return metrics["validation_nll"]
