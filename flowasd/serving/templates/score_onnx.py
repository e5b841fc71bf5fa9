"""Scores recordings by detector.onnx: `python score_onnx.py id_00 a.wav b.wav [--alpha=0.01]`.

It needs onnxruntime, numpy and soundfile. If the run was exported with --map, `--map=FOLDER`
writes the map of a.wav to FOLDER/a.npy.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from files import score_files  # beside this file

settings = onnxruntime.SessionOptions()
settings.log_severity_level = 3  # a default value of an input, here of alpha, would be warned of
session = onnxruntime.InferenceSession(Path(__file__).with_name("detector.onnx"), settings)
metadata = json.loads(session.get_modelmeta().custom_metadata_map["flowasd"])
names = [output.name for output in session.get_outputs()]


def score(samples: np.ndarray, machine: np.ndarray, alpha: np.ndarray) -> dict[str, object]:
    """Returns the outputs of the model by their names."""
    outputs = session.run(names, {"samples": samples, "machine": machine, "alpha": alpha})
    return dict(zip(names, outputs, strict=True))


sys.exit(score_files(__doc__, metadata, score))
