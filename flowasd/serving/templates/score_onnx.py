"""Scores recordings by detector.onnx: `python score_onnx.py id_00 a.wav b.wav [--alpha=0.01]`.

It needs onnxruntime, numpy and soundfile. If the run was exported with --map, `--map=FOLDER`
writes the map of a.wav to FOLDER/a.npy.
"""

import argparse
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
if given.map:
    given.map.mkdir(parents=True, exist_ok=True)
machine = np.array([metadata["machine_ids"].index(given.machine_id)], np.int32)
alpha = np.array(given.alpha, np.float32)
form, channel = (metadata["sample_rate"], metadata["n_samples"]), metadata["channel"]
names = ["score", "p_value", "decision", "map"][: 4 if given.map else 3]
print("path,machine_id,score,p_value,decision")
for path in given.paths:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if (rate, len(samples)) != form:
        sys.exit(f"{path} must have {form[1]} samples at {form[0]} Hz")
    clip = samples[None, :, min(channel, samples.shape[1] - 1)]
    inputs = {"samples": clip, "machine": machine, "alpha": alpha}
    values = [np.asarray(value)[0] for value in session.run(names, inputs)]
    print(path, given.machine_id, *values[:3], sep=",")
    if given.map:
        np.save(given.map / f"{Path(path).stem}.npy", values[3])
