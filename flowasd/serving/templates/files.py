"""What `score.py` and `score_onnx.py` share: arguments, files, and the rows that are printed."""

import argparse
import csv
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

COLUMNS = ["path", "machine_id", "score", "p_value", "decision"]


def score_files(about: str | None, metadata: Mapping[str, Any], score: Callable[..., Any]) -> int:
    """Prints a row for every file, and returns the exit status.

    Args:
        about: What the command is for.
        metadata: Those of the export.
        score: Takes samples `(1, samples)`, machine indices `(1,)` and a rate of false alarms, and
            returns the outputs by their names.
    """
    given = arguments(about, metadata)
    machine = np.array([metadata["machine_ids"].index(given.machine_id)], np.int32)
    alpha, failed = np.array(given.alpha, np.float32), False
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(COLUMNS)
    for path in given.paths:
        try:
            clip = read(path, metadata)
        except (OSError, ValueError, soundfile.SoundFileError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
        outputs = score(clip[None], machine, alpha)
        outputs = {name: np.asarray(values)[0] for name, values in outputs.items()}
        rows.writerow([path, given.machine_id, *(outputs[name] for name in COLUMNS[2:])])
        if given.map:
            np.save(given.map / f"{Path(path).stem}.npy", outputs["map"])
    return int(failed)


def arguments(about: str | None, metadata: Mapping[str, Any]) -> argparse.Namespace:
    """Returns the command's arguments; wrong ones end it with status 2."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("machine_id", choices=metadata["machine_ids"])
    parser.add_argument("paths", nargs="+", help="WAV or FLAC files")
    rate = "rate of false alarms"
    parser.add_argument("--alpha", type=float, default=metadata["alpha"], help=rate)
    parser.add_argument("--map", type=Path, help="folder to write the map of every file to")
    given = parser.parse_args()
    if not 0 < given.alpha <= 1:
        parser.error("--alpha must be above 0, and 1 at most")
    if given.map and not metadata["has_map"]:
        parser.error("the run was exported without --map")
    if given.map and len({Path(path).stem for path in given.paths}) < len(given.paths):
        parser.error("two files have one name, and so have their maps; use two commands")
    if given.map:
        given.map.mkdir(parents=True, exist_ok=True)
    return given


def read(path: str, metadata: Mapping[str, Any]) -> np.ndarray:
    """Reads a channel of a file; raises a `ValueError` if it cannot be judged, as flowasd does."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    n_samples, wanted = metadata["n_samples"], metadata["sample_rate"]
    if (rate, len(samples)) != (wanted, n_samples):
        raise ValueError(f"must have {n_samples} samples at {wanted} Hz")
    clip = samples[:, min(metadata["channel"], samples.shape[1] - 1)]
    still = np.mean([np.ptp(part) == 0 for part in np.array_split(clip, min(40, len(clip)))])
    if not np.abs(clip).max() <= 10 or clip.std() < 1e-5 or still >= 0.5:  # NaN is not below 10
        raise ValueError("is silent, not finite or far above full scale; record it again")
    return clip
