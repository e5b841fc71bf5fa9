"""A recorder of noise, and the table that a watch on it writes."""

import csv
import os

import numpy as np
import soundfile


def rows_of(path):
    with path.open(errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def write(path, seed=0, seconds=1.0, level=0.1):
    samples = level * np.random.default_rng(seed).normal(size=int(16000 * seconds))
    soundfile.write(path, np.clip(samples, -1, 1), 16000)
    return path


def name(i):
    return f"normal_id_00_{i:08d}.wav"


def names(rows):
    return [os.path.basename(row["path"]) for row in rows]


def lines_about(text, word):
    return [line for line in text.splitlines() if word in line]
