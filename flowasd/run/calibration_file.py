"""calibration.npz: the statistics of normal clips that a run's scores are measured by."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from flowasd.config import RunConfig
from flowasd.errors import UserError
from flowasd.files import write_bytes
from flowasd.run.records import FORMAT, check_format, damaged
from flowasd.run.workdir import trained_keys
from flowasd.scoring.rules import Normality

NAME = "calibration.npz"  # in the workdir
REPEAT = "repeat the training command, which writes it again"


def calibration_key(config: RunConfig, step: int) -> str:
    """Returns a digest of all that a calibration depends on.

    Args:
        config: Config of the run; its scoring settings are those that scores are made with.
        step: Training step of the flow.
    """
    content = json.dumps([step, config.score.hop, trained_keys(config)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def save_calibration(workdir: Path, normality: Normality, key: str) -> None:
    """Writes the arrays as one compressed npz file."""
    arrays = normality._asdict() | {"format": FORMAT, "key": key}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write_bytes(workdir / NAME, file.getvalue())


def load_calibration(workdir: Path, key: str) -> Normality:
    """Reads what `save_calibration` wrote.

    Raises:
        UserError: If there is none, or it is damaged, of another format, or made with another key.
    """
    path = workdir / NAME
    try:
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            check_format(path, int(arrays["format"]) if "format" in arrays else 1, REPEAT)
            stored = str(arrays["key"])
            rest = {name: arrays[name] for name in ("level", "location", "spread")}
            floor = float(arrays["floor"])
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: training has not ended; repeat its command") from error
    except UserError:
        raise
    except Exception as error:  # numpy and zipfile raise all kinds of exceptions on damaged files
        raise damaged(path, error, REPEAT) from error
    if stored != key:
        raise UserError(
            f"{path} was made for another step or with another --config.score.hop; "
            "repeat the training command with the settings that are wanted"
        )
    return Normality(floor=floor, **rest)
