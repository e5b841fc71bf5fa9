"""calibration.npz: the statistics of normal clips that a run's scores are measured by."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flowasd.config import RunConfig
from flowasd.errors import UserError
from flowasd.run.records import read_arrays, write_arrays
from flowasd.run.workdir import trained_keys
from flowasd.scoring.rules import Normality

NAME = "calibration.npz"  # in the workdir
REPEAT = "repeat the training command with the settings that are wanted, which writes it again"


def calibration_key(config: RunConfig, step: int) -> str:
    """Returns a digest of all that a calibration depends on.

    Args:
        config: Config of the run; its scoring settings are those that scores are made with.
        step: Training step of the flow.
    """
    content = json.dumps([step, config.score.hop, trained_keys(config)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def save_calibration(workdir: Path, normality: Normality, key: str) -> None:
    """Writes the statistics with the key of what they depend on."""
    write_arrays(workdir / NAME, normality._asdict(), key)


def load_calibration(workdir: Path, key: str) -> Normality:
    """Reads what `save_calibration` wrote.

    Raises:
        UserError: If there is none, or it is damaged, of another format, or made with another key.
    """
    path = workdir / NAME
    try:
        return read_arrays(path, key, REPEAT, _normality)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: training has not ended; repeat its command") from error


def _normality(arrays: Mapping[str, np.ndarray]) -> Normality:
    tables = {name: arrays[name] for name in ("level", "location", "spread")}
    return Normality(**tables, floor=float(arrays["floor"]))
