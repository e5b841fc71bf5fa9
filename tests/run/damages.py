"""Ways to damage a file of a run, and what the tests of damage share."""

import io
import json

import numpy as np

from flowasd.evaluation.calibrate import calibrate_run
from flowasd.run.calibration_file import (
    calibration_key,
)
from flowasd.training.train import train
from tests.conftest import smoke_config

BEST, LAST = "checkpoints/0", "checkpoints/20"  # of the smoke run: it starts at its best
KEY = calibration_key(smoke_config(), 0)


def resume(workdir):
    train(smoke_config(), workdir)
    calibrate_run(workdir)


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbage(content: bytes) -> bytes:
    """Random bytes in the middle."""
    middle, noise = len(content) // 2, np.random.default_rng(0).bytes(24)
    return content[:middle] + noise + content[middle + 24 :]


def emptied(content: bytes) -> bytes:
    return b""


def another_type(content: bytes) -> bytes:
    """JSON, but neither an object nor a row; it is no array and no table either."""
    return b'[1, "two"]\n'


def older(content: bytes) -> bytes:
    """What was written before files had a format version, or had other columns."""
    if content.startswith(b"PK"):
        return npz_without_format(content)
    if content.startswith(b"{"):
        lines = [content] if content.count(b'"format"') == 1 else content.splitlines()
        objects = [json.loads(line) for line in lines]
        return b"".join(
            json.dumps({k: v for k, v in o.items() if k != "format"}).encode() + b"\n"
            for o in objects
        )
    return content.replace(b"blend", b"other machine")


def npz_without_format(content: bytes) -> bytes:
    with np.load(io.BytesIO(content)) as arrays:
        rest = {name: arrays[name] for name in arrays if name != "format"}
    file = io.BytesIO()
    np.savez_compressed(file, **rest)
    return file.getvalue()
