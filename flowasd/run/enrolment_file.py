"""enrolled/ID.npz: the machines that were added to a run without training."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowasd.run.records import read_arrays, write_arrays
from flowasd.scoring.enrolment import Row

FOLDER = "enrolled"  # in the workdir
REPEAT = "enrol the machine again, or remove the file"
TABLES = ("mean", "log_scale")


class Enrolment(NamedTuple):
    """A machine that was added to a run.

    Attributes:
        row: What the flow and the calibration hold of it.
        recordings: Digests of the recordings that it was enrolled from.
    """

    row: Row
    recordings: tuple[str, ...]


def save_enrolment(workdir: Path, machine_id: str, enrolment: Enrolment, key: str) -> None:
    """Writes one compressed npz file; that of an earlier enrolment of the same ID is replaced.

    Args:
        workdir: Folder of the run.
        machine_id: The new ID.
        enrolment: What is known of it.
        key: Digest of all that it depends on, that of the calibration.
    """
    arrays = enrolment.row._asdict()
    for table in TABLES:
        arrays |= {f"{table}.{i}": level for i, level in enumerate(arrays.pop(table))}
    (workdir / FOLDER).mkdir(exist_ok=True)
    arrays["recordings"] = np.array(enrolment.recordings)
    write_arrays(workdir / FOLDER / f"{machine_id}.npz", arrays, key)


def load_enrolments(workdir: Path, key: str | None) -> dict[str, Enrolment]:
    """Reads every machine that was added to a run, by its ID.

    Args:
        workdir: Folder of the run.
        key: As for `save_enrolment`; `None` if any will do.

    Raises:
        UserError: If a file is damaged, of another format, or made with another key.
    """
    paths = sorted((workdir / FOLDER).glob("*.npz"))
    return {path.stem: read_arrays(path, key, REPEAT, _enrolment) for path in paths}


def enrolled_recordings(workdir: Path) -> dict[str, str]:
    """Returns the digests of all recordings that machines were enrolled from, and whose they are.

    Raises:
        UserError: If a file is damaged or of another format.
    """
    enrolments = load_enrolments(workdir, None)
    return {digest: machine for machine, own in enrolments.items() for digest in own.recordings}


def _enrolment(arrays: Mapping[str, np.ndarray]) -> Enrolment:
    mean, log_scale = (_levels(arrays, table) for table in TABLES)
    tables = {name: arrays[name] for name in ("location", "spread", "normal")}
    row = Row(mean, log_scale, float(arrays["level"]), **tables, kind=str(arrays["kind"]))
    return Enrolment(row, tuple(map(str, arrays["recordings"])))


def _levels(arrays: Mapping[str, np.ndarray], table: str) -> tuple[np.ndarray, ...]:
    count = sum(name.startswith(f"{table}.") for name in arrays)
    if not count:
        raise KeyError(table)
    return tuple(arrays[f"{table}.{i}"] for i in range(count))
