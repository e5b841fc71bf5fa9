"""One program from one device to many: mesh, batch placement, multi-process start."""

from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Tree = TypeVar("Tree")


def data_mesh() -> Mesh:
    """All devices of all processes in a row; what is split over them is split over `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def global_batch(mesh: Mesh, local: Tree) -> Tree:
    """Joins the rows that every process holds into one batch, split over the devices.

    Args:
        mesh: The devices.
        local: A tree of host arrays: this process's rows, equally many in every process.

    Returns:
        The same tree of arrays with the rows of all processes, in the order of the processes.
    """
    split = NamedSharding(mesh, P("data"))
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(split, np.asarray(x)), local
    )
