"""The SIMULATED corpus as pooled frames: rendered once, kept on disk without an audio file."""

import hashlib
import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from experiments.clips.pooled import Pooled
from flowasd.data.clips import Clip
from flowasd.data.simulated.corpus import VERSION, corpus_clip
from flowasd.data.simulated.slide_rail import RAILS
from flowasd.features.compute import CLIPS_PER_BATCH, compute_bands
from flowasd.features.frontend import FrontendConfig
from flowasd.files import write_bytes

SEED = 0  # of the corpus, as in the default config
CHUNK = 100  # clips of a file, about ten seconds of one core


class Chunk(NamedTuple):
    """Consecutive clips of one machine ID, their numbers, and the file of their frames."""

    part: str
    state: str
    machine_id: str
    numbers: range
    path: Path

    @property
    def clips(self) -> list[Clip]:
        """The clips by the names that they have in the corpus."""
        start = f"{self.part}/{self.state}_{self.machine_id}"
        label = int(self.state == "anomaly")
        return [Clip(Path(f"{start}_{n:08d}.flac"), self.machine_id, label) for n in self.numbers]


def simulated(
    workdir: Path, frontend: FrontendConfig, part: str, state: str, count: int, processes: int
) -> Pooled:
    """Returns the first clips of every machine ID, in whole hundreds.

    What the workdir lacks is rendered. A larger count later on renders the further clips alone.

    Args:
        workdir: Folder that takes the files.
        frontend: A front-end that makes one pooled frame of a clip.
        part: `"train"` or `"test"`.
        state: `"normal"` or `"anomaly"`.
        count: Clips of each ID at least.
        processes: Processes that render.
    """
    settings = json.dumps([VERSION, SEED, asdict(frontend)], sort_keys=True)
    folder = workdir / f"pooled_{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [
        Chunk(
            *(part, state, machine_id, range(first, first + CHUNK)),
            folder / f"{part}_{state}_{machine_id}_{first}.f32",
        )
        for machine_id, first in product(RAILS, range(0, count, CHUNK))
    ]
    _render_all([chunk for chunk in chunks if not chunk.path.exists()], frontend, processes)
    frames = np.concatenate([np.fromfile(chunk.path, np.float32) for chunk in chunks])
    clips = [clip for chunk in chunks for clip in chunk.clips]
    return Pooled.of(clips, frames.reshape(len(clips), -1))


def _render_all(chunks: Sequence[Chunk], frontend: FrontendConfig, processes: int) -> None:
    if not chunks:
        return
    # A child that JAX's threads were forked into could hang, so it starts anew.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rendered = pool.imap_unordered(partial(_render, frontend=frontend), chunks)
        for _ in tqdm(rendered, "clips", len(chunks), unit_scale=CHUNK, disable=None):
            pass


def _render(chunk: Chunk, frontend: FrontendConfig) -> None:
    """Renders the clips of a chunk a few at a time, and writes their pooled frames."""
    pooled = []
    origin = SEED, chunk.part, chunk.state, chunk.machine_id
    for i in range(0, len(chunk.numbers), CLIPS_PER_BATCH):
        some = chunk.numbers[i : i + CLIPS_PER_BATCH]
        sounds = [corpus_clip(*origin, number).sound for number in some]
        pooled += compute_bands(sounds, frontend, CLIPS_PER_BATCH)
    write_bytes(chunk.path, np.concatenate(pooled).astype(np.float32).tobytes())
