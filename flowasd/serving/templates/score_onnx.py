"""Scores recordings by detector.onnx: `python score_onnx.py id_00 a.wav b.wav [--alpha=0.01]`.

It needs onnxruntime, numpy and soundfile. If the run was exported with --map, `--map=FOLDER`
writes the map of a.wav to FOLDER/a.npy.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

settings = onnxruntime.SessionOptions()
settings.log_severity_level = 3  # a default value of an input, here of alpha, would be warned of
session = onnxruntime.InferenceSession(Path(__file__).with_name("detector.onnx"), settings)
metadata = json.loads(session.get_modelmeta().custom_metadata_map["flowasd"])

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("machine_id", choices=metadata["machine_ids"])
parser.add_argument("paths", nargs="+", help="WAV or FLAC files")
parser.add_argument("--alpha", type=float, default=metadata["alpha"], help="rate of false alarms")
parser.add_argument("--map", type=Path, help="folder to write the map of every file to")
given = parser.parse_args()
if given.map and not metadata["has_map"]:
    parser.error("the run was exported without --map")
if not 0 < given.alpha <= 1:
    parser.error("--alpha must be above 0, and 1 at most")
if given.map and len({Path(path).stem for path in given.paths}) < len(given.paths):
    parser.error("two files have one name, and so have their maps; use two commands")
if given.map:
    given.map.mkdir(parents=True, exist_ok=True)
machine = np.array([metadata["machine_ids"].index(given.machine_id)], np.int32)
alpha = np.array(given.alpha, np.float32)
form, channel = (metadata["sample_rate"], metadata["n_samples"]), metadata["channel"]
names = ["score", "p_value", "decision", "map"][: 4 if given.map else 3]
rows, failed = csv.writer(sys.stdout, lineterminator="\n"), False
rows.writerow(["path", "machine_id", "score", "p_value", "decision"])
for path in given.paths:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if (rate, len(samples)) != form:
            raise ValueError(f"must have {form[1]} samples at {form[0]} Hz")
        clip = samples[:, min(channel, samples.shape[1] - 1)]
        still = np.mean([np.ptp(part) == 0 for part in np.array_split(clip, min(40, len(clip)))])
        # The same bounds as in flowasd; NaN is not below any.
        if not np.abs(clip).max() <= 10 or clip.std() < 1e-5 or still >= 0.5:
            raise ValueError("is silent, not finite or far above full scale; record it again")
    except (OSError, ValueError, soundfile.SoundFileError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        failed = True
        continue
    inputs = {"samples": clip[None], "machine": machine, "alpha": alpha}
    values = [np.asarray(value)[0] for value in session.run(names, inputs)]
    rows.writerow([path, given.machine_id, *values[:3]])
    if given.map:
        np.save(given.map / f"{Path(path).stem}.npy", values[3])
sys.exit(failed)
