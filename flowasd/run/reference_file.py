"""reference.npz: the statistics of normal clips that explanations compare a clip with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flowasd.run.records import read_arrays, write_arrays
from flowasd.scoring.reference import Reference

NAME = "reference.npz"  # in the workdir
REPEAT = "repeat the training command, which writes it again"


def save_reference(workdir: Path, reference: Reference, key: str) -> None:
    """Writes the statistics with the key of what they depend on, that of the calibration."""
    arrays = reference._asdict() | {"names": np.array(reference.names, np.str_)}
    write_arrays(workdir / NAME, arrays, key)


def load_reference(workdir: Path, key: str) -> Reference | None:
    """Reads what `save_reference` wrote; `None` if there is no such file.

    Raises:
        UserError: If it is damaged, of another format, or made with another key.
    """
    try:
        return read_arrays(workdir / NAME, key, REPEAT, _reference)
    except FileNotFoundError:
        return None


def _reference(arrays: Mapping[str, np.ndarray]) -> Reference:
    tables = {name: arrays[name] for name in ("quantiles", "latents", "machine")}
    return Reference(**tables, names=tuple(map(str, arrays["names"])))
