"""One training at a time in a workdir."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flowasd.errors import UserError
from flowasd.run.workdir import make_workdir

NAME = ".lock"  # in the workdir; it stays there, and a run that is not training does not hold it


@contextmanager
def sole_training(workdir: Path) -> Iterator[None]:
    """Makes the folder of a run, and lets no other process train in it while the block runs.

    The operating system takes the lock from a process that ends, however it ends.

    Raises:
        UserError: If another process trains in it, or the folder cannot be written.
    """
    make_workdir(workdir)
    try:
        with FileLock(workdir / NAME, timeout=0):
            yield
    except Timeout as error:
        raise UserError(
            f"{workdir}: another process is training here; wait for it, or name another --workdir"
        ) from error
