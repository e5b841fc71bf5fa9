"""enrolled/ID.npz: the machines that were added to a run without training."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowasd.errors import UserError
from flowasd.files import write_bytes
from flowasd.run.records import FORMAT, check_format, damaged
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
    file = io.BytesIO()
    recordings = np.array(enrolment.recordings)
    np.savez_compressed(file, **arrays, recordings=recordings, format=FORMAT, key=key)
    (workdir / FOLDER).mkdir(exist_ok=True)
    write_bytes(workdir / FOLDER / f"{machine_id}.npz", file.getvalue())


def load_enrolments(workdir: Path, key: str) -> dict[str, Enrolment]:
    """Reads every machine that was added to a run, by its ID.

    Raises:
        UserError: If a file is damaged, of another format, or made with another key.
    """
    return {path.stem: _load(path, key) for path in sorted((workdir / FOLDER).glob("*.npz"))}


def enrolled_recordings(workdir: Path) -> dict[str, str]:
    """Returns the digests of all recordings that machines were enrolled from, and whose they are.

    Raises:
        UserError: As `load_enrolments` does, whatever the key.
    """
    return {
        recording: path.stem
        for path in sorted((workdir / FOLDER).glob("*.npz"))
        for recording in _load(path, None).recordings
    }


def _load(path: Path, key: str | None) -> Enrolment:
    try:
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            check_format(path, int(arrays["format"]) if "format" in arrays else 1, REPEAT)
            tables = {table: _levels(arrays, table) for table in TABLES}
            level = float(arrays["level"])
            location, spread = arrays["location"], arrays["spread"]
            recordings, stored = tuple(map(str, arrays["recordings"])), str(arrays["key"])
    except UserError:
        raise
    except Exception as error:  # numpy and zipfile raise all kinds of exceptions on damaged files
        raise damaged(path, error, REPEAT) from error
    if key is not None and stored != key:
        raise UserError(
            f"{path} was made for another step or with another --config.score.hop; {REPEAT}"
        )
    row = Row(tables["mean"], tables["log_scale"], level, location, spread)
    return Enrolment(row, recordings)


def _levels(arrays: np.lib.npyio.NpzFile, table: str) -> tuple[np.ndarray, ...]:
    names: Sequence[str] = [name for name in arrays.files if name.startswith(f"{table}.")]
    if not names:
        raise KeyError(table)
    return tuple(arrays[f"{table}.{i}"] for i in range(len(names)))
