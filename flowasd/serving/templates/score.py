"""Scores recordings by detector.jax: `python score.py id_00 a.wav b.wav [--alpha=0.01]`.

It needs jax, flatbuffers, numpy and soundfile.
"""

import json
import sys
import zipfile
from pathlib import Path

import jax
import jax.export
import numpy as np
import soundfile

with zipfile.ZipFile(Path(__file__).with_name("detector.jax")) as archive:
    metadata = json.loads(archive.read("metadata.json"))
    program = jax.export.deserialize(bytearray(archive.read("program.bin")))

arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--alpha=")]
alphas = [argument[8:] for argument in sys.argv[1:] if argument.startswith("--alpha=")]
machine_id, *paths = arguments or sys.exit(__doc__)
if machine_id not in metadata["machine_ids"]:
    sys.exit(f"{machine_id} is none of {', '.join(metadata['machine_ids'])}")
machine = np.array([metadata["machine_ids"].index(machine_id)], np.int32)
alpha = np.float32(alphas[-1] if alphas else metadata["alpha"])
form, channel = (metadata["sample_rate"], metadata["n_samples"]), metadata["channel"]
score = jax.jit(program.call)
print("path,machine_id,score,p_value,decision")
for path in paths:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if (rate, len(samples)) != form:
        sys.exit(f"{path} must have {form[1]} samples at {form[0]} Hz")
    out = score(samples[None, :, min(channel, samples.shape[1] - 1)], machine, alpha)
    print(path, machine_id, *(out[name][0] for name in ("score", "p_value", "decision")), sep=",")
