"""Scores recordings by detector.onnx: `python score_onnx.py id_00 a.wav b.wav [--alpha=0.01]`.

It needs onnxruntime, numpy and soundfile.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

options = onnxruntime.SessionOptions()
options.log_severity_level = 3  # a default value of an input, here of alpha, would be warned of
session = onnxruntime.InferenceSession(Path(__file__).with_name("detector.onnx"), options)
metadata = json.loads(session.get_modelmeta().custom_metadata_map["flowasd"])

arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--alpha=")]
alphas = [argument[8:] for argument in sys.argv[1:] if argument.startswith("--alpha=")]
machine_id, *paths = arguments or sys.exit(__doc__)
if machine_id not in metadata["machine_ids"]:
    sys.exit(f"{machine_id} is none of {', '.join(metadata['machine_ids'])}")
machine = np.array([metadata["machine_ids"].index(machine_id)], np.int32)
alpha = np.array(alphas[-1] if alphas else metadata["alpha"], np.float32)
form, channel = (metadata["sample_rate"], metadata["n_samples"]), metadata["channel"]
columns = ["score", "p_value", "decision"]
print("path", "machine_id", *columns, sep=",")
for path in paths:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if (rate, len(samples)) != form:
        sys.exit(f"{path} must have {form[1]} samples at {form[0]} Hz")
    clip = {
        "samples": samples[None, :, min(channel, samples.shape[1] - 1)],
        "machine": machine,
        "alpha": alpha,
    }
    values = [np.asarray(value).item() for value in session.run(columns, clip)]
    print(path, machine_id, *values, sep=",")
