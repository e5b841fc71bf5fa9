"""calibration.npz: what a run's scores and decisions are measured by."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from flowasd.config import RunConfig
from flowasd.errors import UserError
from flowasd.run.records import read_arrays, write_arrays
from flowasd.run.workdir import trained_keys
from flowasd.scoring.decision import Calibration, NormalScores
from flowasd.scoring.rules import RULES, Normality

NAME = "calibration.npz"  # in the workdir
REPEAT = "repeat the training command with the settings that are wanted, which writes it again"


class CalibrationFile(NamedTuple):
    """The content of calibration.npz.

    Attributes:
        calibration: What scores and decisions are measured by.
        recordings: Digests of the recordings that calibrated a machine after training, and its ID.
    """

    calibration: Calibration
    recordings: Mapping[str, str] = MappingProxyType({})


def calibration_key(config: RunConfig, step: int) -> str:
    """Returns a digest of all that a calibration depends on.

    Args:
        config: Config of the run; its scoring settings are those that scores are made with.
        step: Training step of the flow.
    """
    settings = [step, config.score.hop, config.score.folds, list(RULES), trained_keys(config)]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def save_calibration(workdir: Path, content: CalibrationFile, key: str) -> None:
    """Writes a calibration with the key of what it depends on."""
    normality, normal, kinds = content.calibration
    arrays = normality._asdict() | {f"normal.{n}": v for n, v in normal._asdict().items()}
    arrays |= {"kinds": np.array(kinds), "recordings": np.array([*content.recordings], str)}
    arrays["recorded"] = np.array([*content.recordings.values()], str)
    write_arrays(workdir / NAME, arrays, key)


def load_calibration(workdir: Path, key: str | None) -> CalibrationFile:
    """Reads what `save_calibration` wrote.

    Args:
        workdir: Folder of the run.
        key: As for `save_calibration`; `None` if any will do.

    Raises:
        UserError: If there is none, or it is damaged, of another format, or made with another key.
    """
    path = workdir / NAME
    try:
        return read_arrays(path, key, REPEAT, _content)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: training has not ended; repeat its command") from error


def calibrating_recordings(workdir: Path) -> dict[str, str]:
    """Returns the digests of the recordings that calibrated a machine after training, and its ID.

    Raises:
        UserError: If the file is damaged or of another format.
    """
    if not (workdir / NAME).exists():
        return {}
    return dict(load_calibration(workdir, None).recordings)


def _content(arrays: Mapping[str, np.ndarray]) -> CalibrationFile:
    tables = {name: arrays[name] for name in ("level", "location", "spread")}
    normality = Normality(**tables, floor=float(arrays["floor"]))
    normal = NormalScores(arrays["normal.scores"], arrays["normal.machine"])
    calibration = Calibration(normality, normal, tuple(map(str, arrays["kinds"])))
    recordings = zip(arrays["recordings"].tolist(), arrays["recorded"].tolist(), strict=True)
    return CalibrationFile(calibration, dict(recordings))
