"""The best checkpoint of a run: the flow, and what is known of it."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from flax import nnx

from flowasd.config import RunConfig
from flowasd.features.frontend import Standardisation
from flowasd.flow.glow import Glow, glow_structure
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.devices import require_devices
from flowasd.run.workdir import check_same, read_config
from flowasd.settings import build


class Restored(NamedTuple):
    """A trained flow.

    Attributes:
        flow: The flow.
        statistics: Standardisation of its input.
        machine_ids: The IDs that it was trained on, in the order of their indices.
        config: The config of its run, with the scoring settings of the last training command.
        kind: Whether the recordings are `"real"` or `"SIMULATED"`.
        step: The training step that it was saved at.
    """

    flow: Glow
    statistics: Standardisation
    machine_ids: list[str]
    config: RunConfig
    kind: str
    step: int


def restore_best(workdir: Path) -> Restored:
    """Restores the checkpoint that is kept for scoring, without what only training needs.

    Raises:
        UserError: If the folder holds no checkpoint, or a damaged one, or JAX does not find the
            devices that were asked for.
    """
    require_devices()
    with closing(Checkpoints(workdir)) as checkpoints:
        step = checkpoints.best
        card = checkpoints.card(step)
        config = build(RunConfig, card["config"], f"{workdir}: config")
        if (workdir / "config.json").exists():  # the checkpoint alone is enough to score
            recorded = read_config(workdir)
            check_same(workdir, config, recorded)
            config = recorded
        n_machines = len(card["machine_ids"])
        graph, *shapes = glow_structure(config.model, config.frontend.n_bands, n_machines)
        template = dict(zip(("params", "constants"), shapes, strict=True))
        state = checkpoints.restore(step, "model", template)
    return Restored(
        flow=nnx.merge(graph, state["params"], state["constants"]),
        statistics=Standardisation(*(np.array(card[n], np.float32) for n in ("mean", "std"))),
        machine_ids=card["machine_ids"],
        config=config,
        kind=card["data"],
        step=step,
    )
