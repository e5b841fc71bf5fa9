"""One program from one device to many: process start, mesh, and what lies where.

Parameters are replicated, batches and the bank are split over the one axis `data`. All that is
random is drawn as if there were one device, so that a seed means the same batches on any number.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from flowasd.config import ParallelConfig
from flowasd.errors import UserError

HEARTBEAT = 30  # seconds of silence after which a process counts as dead


def launched_together(env: Mapping[str, str]) -> bool:
    """Whether a launcher that JAX knows says that this process is, or may be, one of several.

    Alone, a process must not ask JAX to find out: it might wait for others, or be left with one of
    its devices, since under Slurm and Open MPI JAX gives each process one.
    """
    config: Any = jax.config
    on_tpu_vm = "tpu" in (config.jax_platforms or "")  # JAX sets it on a Cloud TPU's host
    asks_metadata = on_tpu_vm and not {"TPU_SKIP_MDS_QUERY", "TPU_WORKER_HOSTNAMES"} & env.keys()
    return (
        ("SLURM_STEP_NODELIST" in env and int(env.get("SLURM_NTASKS", 1)) > 1)
        or int(env.get("OMPI_COMM_WORLD_SIZE", 1)) > 1
        or {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= env.keys()
        or "," in env.get("TPU_WORKER_HOSTNAMES", "")
        or asks_metadata
    )


@contextmanager
def processes(config: ParallelConfig) -> Iterator[None]:
    """Joins the processes of a run for the block, in which they all do the same.

    Must be entered before anything else touches a device. A run of one process passes through.

    Args:
        config: The `parallel` part of a run's config.

    Raises:
        UserError: If the processes do not find, or lose, each other.
    """
    if config.coordinator:
        address: dict[str, Any] = {
            "coordinator_address": config.coordinator,
            "num_processes": config.num_processes,
            "process_id": config.process_id,
        }
    elif launched_together(os.environ):
        address = {}
    else:
        yield
        return
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
    try:
        jax.distributed.initialize(
            **address, heartbeat_timeout_seconds=HEARTBEAT, shutdown_timeout_seconds=HEARTBEAT
        )
        multihost_utils.sync_global_devices("start")  # later, gloo would wait for 30 s only
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"the processes of this run do not find each other ({_first_line(error)}); give each "
            "--config.parallel.coordinator=HOST:PORT, .num_processes and a .process_id of its own"
        ) from error
    try:
        yield
        jax.distributed.shutdown()
    except (RuntimeError, ValueError) as error:
        if not tells_of_others(error):
            raise
        raise UserError(
            f"process {jax.process_index()} cannot go on with the others ({_first_line(error)}); "
            "start all of them again, and the run goes on from its last checkpoint"
        ) from error


def tells_of_others(error: Exception) -> bool:
    """Whether an error is of the kind that a lost process gives: XLA's, but not one of memory.

    The type does not tell: what XLA raises as a compiled function is called is a `ValueError`.
    XLA's messages begin with the name of a status.
    """
    return re.match(r"(?!RESOURCE_EXHAUSTED)[A-Z_]+: ", str(error)) is not None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def leave(status: int) -> NoReturn:
    """Ends this process; with others joined, at once, so that they notice and do not wait."""
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def is_first() -> bool:
    """Whether this is the process that writes what is written once."""
    return jax.process_index() == 0


@contextmanager
def first_before_others() -> Iterator[None]:
    """Lets process 0 through the block before the others, which then find what it wrote.

    Raises:
        UserError: In the others, if process 0 failed in it.
    """
    if not is_first() and not multihost_utils.broadcast_one_to_all(np.bool_(False)):
        raise UserError(f"process {jax.process_index()} stops because process 0 did")
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        if is_first():
            multihost_utils.broadcast_one_to_all(np.bool_(succeeded))


def data_mesh() -> Mesh:
    """All devices of all processes in a row; what is split over them is split over `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """On every device, whole."""
    return NamedSharding(mesh, P())


def split(mesh: Mesh) -> NamedSharding:
    """Split by the first axis, an equal share of rows on every device."""
    return NamedSharding(mesh, P("data"))


def global_batch(mesh: Mesh, local: PyTree) -> Any:
    """Joins the rows that every process holds into one batch, split over the devices.

    Args:
        mesh: The devices.
        local: A tree of host arrays: this process's rows, equally many in every process.

    Returns:
        The same tree of arrays with the rows of all processes, in the order of the processes.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(split(mesh), np.asarray(x)), local
    )


def replicate(mesh: Mesh, tree: PyTree) -> Any:
    """Places a tree of arrays that every process has on every device, whole."""
    sharding = replicated(mesh)

    def place(x: np.ndarray | jax.Array) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, np.asarray(x), np.shape(x))

    return jax.tree.map(place, tree)


def split_rows(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """Splits an array that every process has; rows of zeros at its end make the shares equal."""
    padding = -len(rows) % mesh.size
    rows = np.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1)) if padding else rows
    return jax.make_array_from_process_local_data(split(mesh), rows, rows.shape)


def check_batch_size(batch_size: int) -> None:
    """Raises a `UserError` if the devices' shares of a batch would not be equal."""
    if batch_size % jax.device_count():
        raise UserError(
            f"config.train.batch_size={batch_size} is not a multiple of the number of devices, "
            f"{jax.device_count()}"
        )
