"""From files to scores: clips/s beside a peer, times real time, and where the time goes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile

from experiments.speed.detectors import recordings
from experiments.speed.side import Side, interleaved, open_sides
from experiments.speed.tables import Row, best_peer_row

OURS = "experiments.speed.files_ours:score_tasks"
PEERS = {"torch and normflows": "experiments.speed.files_normflows:score_tasks"}


def measure(workdir: Path, data: str, rounds: int) -> Iterator[Row]:
    """The figures of files that the system holds in its cache, as a second run finds them.

    A peer can do the work of the `mel` shape. No peer pools frames, as `configs/slider.py` does.
    """
    yield from _of_config("file_to_score", workdir / "mel", data, PEERS, rounds)
    yield from _of_config("file_to_score_slider", workdir / "slider", data, {}, rounds)


def _of_config(
    name: str, workdir: Path, data: str, peers: Mapping[str, str], rounds: int
) -> Iterator[Row]:
    paths = recordings(workdir, workdir.name, data)
    ours = Side(OURS, str(workdir), paths)
    sides = {"flowasd": ours} | open_sides(peers, str(workdir), paths)
    seconds = interleaved(sides, "score", rounds)
    if peers:
        yield best_peer_row(f"{name}_vs_best_peer", seconds, len(paths), "clips/s")
    clips = len(paths) / float(np.median(seconds["flowasd"]))
    yield Row(name, clips, "clips/s")
    duration = sum(soundfile.info(path).duration for path in paths) / len(paths)
    yield Row(f"{name}_real_time", duration * clips, "times")
    for part in ("decode", "front-end", "flow", "rules"):
        seconds = interleaved({"flowasd": ours}, part, rounds)["flowasd"]
        yield Row(f"{name}_{part}", 1000 * float(np.median(seconds)) / len(paths), "ms/clip")
    yield Row(f"{name}_memory", ours.peak_mib(), "MiB")
    for side in sides.values():
        side.close()
