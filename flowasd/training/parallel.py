"""One program for one device or many: joining processes, and placing arrays on devices.

Parameters are replicated. Batches and the bank are split over the mesh's only axis, `data`. Random
numbers are drawn as on one device, so a seed gives the same batches on any number of devices.
"""

import os
import re
import sys
import threading
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
SILENT, WAIT = 15, 300  # seconds that a process waits for the others, without a word and in all
ALONE = (
    "if it is meant to be alone, unset the launcher's variable, such as SLURM_NTASKS or "
    "OMPI_COMM_WORLD_SIZE"
)


def launched_together(env: Mapping[str, str]) -> bool:
    """Whether a launcher that JAX knows has started, or may have started, several processes.

    A process that is alone must not ask JAX to join others. JAX might wait for them in vain, and
    under Slurm and Open MPI it would give the process only one of its devices.

    Args:
        env: The environment variables of the process.
    """
    config: Any = jax.config
    on_tpu_vm = "tpu" in (config.jax_platforms or "")  # JAX sets this on a Cloud TPU's host
    asks_metadata = on_tpu_vm and not {"TPU_SKIP_MDS_QUERY", "TPU_WORKER_HOSTNAMES"} & env.keys()
    # In an interactive step, SLURM_NTASKS may be the number of tasks of the whole job.
    slurm_tasks = int(env.get("SLURM_STEP_NUM_TASKS", env.get("SLURM_NTASKS", 1)))
    return (
        ("SLURM_STEP_NODELIST" in env and slurm_tasks > 1)
        or int(env.get("OMPI_COMM_WORLD_SIZE", 1)) > 1
        or {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= env.keys()
        or "," in env.get("TPU_WORKER_HOSTNAMES", "")
        or asks_metadata
    )


@contextmanager
def processes(config: ParallelConfig) -> Iterator[None]:
    """Joins the processes of a run while the block runs; all of them run the same block.

    Enter it before other code uses a device. It does nothing in a run of one process.

    Args:
        config: The `parallel` part of a run's config.

    Raises:
        UserError: If the processes do not find each other, or one of them is lost later.
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
    jax.config.update("jax_enable_preemption_service", False)  # it would catch SIGTERM
    try:
        with _limited_wait():
            jax.distributed.initialize(
                **address,
                initialization_timeout=2 * WAIT,
                heartbeat_timeout_seconds=HEARTBEAT,
                shutdown_timeout_seconds=HEARTBEAT,
            )
            multihost_utils.sync_global_devices("start")  # gloo waits 30 s for a first collective
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


@contextmanager
def _limited_wait() -> Iterator[None]:
    """Says soon that this process waits for others, and ends it when it has waited too long.

    JAX would say nothing, and end the process by an abort that nobody can catch.
    """

    def say(what: str) -> None:
        print(f"flowasd: {what}", file=sys.stderr, flush=True)

    def give_up() -> None:
        say(f"the other processes did not come within {WAIT} s; {ALONE}")
        os._exit(2)

    waits = f"this process waits for the others of its run, {WAIT} s at most; {ALONE}"
    timers = [threading.Timer(SILENT, say, [waits]), threading.Timer(WAIT, give_up)]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def tells_of_others(error: Exception) -> bool:
    """Whether an error may come from a lost process: any error of XLA but a lack of memory.

    The type of the error does not tell, because XLA raises a `ValueError` when a compiled function
    is called. The message tells, because XLA begins it with the name of a status.
    """
    return re.match(r"(?!RESOURCE_EXHAUSTED)[A-Z_]+: ", str(error)) is not None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def leave(status: int) -> NoReturn:
    """Ends this process; if it has joined others, it ends at once, so that they notice it."""
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def is_first() -> bool:
    """Whether this is process 0, which alone writes the files of the run."""
    return jax.process_index() == 0


@contextmanager
def first_before_others() -> Iterator[None]:
    """Runs the block in process 0 first, then in the others, which find the files it wrote.

    Raises:
        UserError: In the other processes, if process 0 failed in the block.
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
    """Returns the mesh of all devices of all processes; its only axis is `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def local_mesh() -> Mesh:
    """Returns the mesh of one device of this process, for what no other process takes part in."""
    return Mesh(np.array(jax.local_devices()[:1]), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device holds completely."""
    return NamedSharding(mesh, P())


def split(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that gives every device an equal share of the rows of an array."""
    return NamedSharding(mesh, P("data"))


def global_batch(mesh: Mesh, local: PyTree) -> Any:
    """Joins the rows of all processes into one batch that is split over the devices.

    Args:
        mesh: The devices.
        local: Tree of host arrays with the rows of this process; every process has as many.

    Returns:
        The same tree of arrays with the rows of all processes, in the order of the processes.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(split(mesh), np.asarray(x)), local
    )


def replicate(mesh: Mesh, tree: PyTree) -> Any:
    """Places a tree of arrays, the same in every process, completely on every device."""
    sharding = replicated(mesh)

    def place(x: np.ndarray | jax.Array) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, np.asarray(x), np.shape(x))

    return jax.tree.map(place, tree)


def split_rows(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    """Splits an array, the same in every process, by rows; zeros at its end make shares equal."""
    padding = -len(rows) % mesh.size
    rows = np.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1)) if padding else rows
    return jax.make_array_from_process_local_data(split(mesh), rows, rows.shape)


def check_batch_size(batch_size: int) -> None:
    """Raises a `UserError` if a batch cannot be split into equal shares for all devices."""
    if batch_size % jax.device_count():
        raise UserError(
            f"config.train.batch_size={batch_size} is not a multiple of the number of devices, "
            f"{jax.device_count()}"
        )
