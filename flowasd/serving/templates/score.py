"""Scores recordings by detector.jax: `python score.py id_00 a.wav b.wav [--alpha=0.01]`.

It needs jax, flatbuffers, numpy and soundfile. If the run was exported with --map, `--map=FOLDER`
writes the map of a.wav to FOLDER/a.npy.
"""

import json
import sys
import zipfile
from pathlib import Path

import jax
import jax.export
from files import score_files  # beside this file

with zipfile.ZipFile(Path(__file__).with_name("detector.jax")) as archive:
    metadata = json.loads(archive.read("metadata.json"))
    program = jax.export.deserialize(bytearray(archive.read("program.bin")))

sys.exit(score_files(__doc__, metadata, jax.jit(program.call)))
