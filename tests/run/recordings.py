"""Copies of the run's recordings, under whatever names, as links or files of either format."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import soundfile

from flowasd.data.clips import Clip
from flowasd.data.source import open_source
from tests.conftest import smoke_config


def splits() -> dict[str, tuple[Clip, ...]]:
    """The clips that the smoke run is made with."""
    config = smoke_config()
    return open_source(config.data, config.seed).splits


def put(clip: Clip, path: Path, how: str) -> None:
    """Puts a recording (FLAC) somewhere else, as a `link`, a `copy` or a `wav`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if how == "link":
        path.symlink_to(clip.path)
    elif how == "copy":
        shutil.copy(clip.path, path)
    else:
        samples, rate = soundfile.read(clip.path, dtype="int16")
        soundfile.write(path.with_suffix(".wav"), samples, rate, "PCM_16")


def put_all(root: Path, clips: Iterable[Clip], how: str = "link") -> Path:
    """Lays recordings out as they were, below another root, which is returned."""
    for clip in clips:
        put(clip, root / "slider" / clip.path.parent.name / clip.name, how)
    return root


def renamed(clip: Clip, number: int, state: str = "normal") -> str:
    """Another name for a clip of the same ID."""
    return f"{state}_{clip.machine_id}_{number:08d}.flac"


def whole(root: Path) -> Path:
    """All recordings of the smoke run below another root, as files that a test may change."""
    return put_all(root, [clip for clips in splits().values() for clip in clips], "copy")


def copy_run(run: Path, to: Path) -> Path:
    """A copy of a run that a test may change; it does not hold events, which no one reads."""
    shutil.copytree(run, to, ignore=shutil.ignore_patterns("events.*"))
    return to


def replace(path: Path, by: Path) -> None:
    """Puts another recording under the name of one."""
    content = by.read_bytes()
    os.unlink(path)
    path.write_bytes(content)


def softer(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Other recordings of the same sounds: 16-bit copies at half the amplitude."""
    folder.mkdir()
    copies = []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="int16")
        copies.append((folder / path.name).with_suffix(".wav"))
        soundfile.write(copies[-1], samples // 2, rate, "PCM_16")
    return copies
