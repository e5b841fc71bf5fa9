"""Which machine a recording is of: the ID that its user gives, or that its name tells."""

from collections.abc import Sequence
from pathlib import Path

from flowasd.data.source import DataConfig, clip_of
from flowasd.errors import UntoldMachine, UserError


def told_id(path: Path, known: Sequence[str], data: DataConfig) -> str:
    """Returns the machine ID that a file's name tells, or its folder's name, or the only one.

    Args:
        path: The file.
        known: The IDs that the detector knows.
        data: Says how names are read.

    Raises:
        UntoldMachine: If neither name tells one and several are known.
        UserError: If the name tells one that the detector does not know.
    """
    try:
        machine_id = clip_of(path, data).machine_id
    except UserError as error:
        folder = path.absolute().parent.name
        if folder in known:
            return folder
        if len(known) == 1:
            return known[0]
        raise UntoldMachine(
            f"{error}; or give its ID with --machine_id (machine_ids): {', '.join(known)}"
        ) from error
    return full_id(machine_id, known, f"{path}: ")


def full_id(machine_id: str, known: Sequence[str], where: str = "") -> str:
    """Returns a known ID, from itself or its last part, as 02 of id_02.

    Args:
        machine_id: The ID or its last part.
        known: The IDs that the detector knows.
        where: What the message of an error begins with.

    Raises:
        UserError: If no such ID is known, or several.

    Example:
        >>> full_id("02", ["id_00", "id_02"])
        'id_02'
    """
    if machine_id in known:
        return machine_id
    meant = [own for own in known if own.endswith(f"_{machine_id}")]
    if len(meant) != 1:
        raise UserError(
            f"{where}the model has not seen machine ID {machine_id}; it knows {', '.join(known)}"
        )
    return meant[0]
