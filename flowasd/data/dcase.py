"""DCASE 2020 Task 2's file names and folders: which clip is of which machine, and is it normal."""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowasd.errors import UserError

AUDIO_SUFFIXES = (".wav", ".flac")

_NAME = re.compile(
    r"(?:(?P<state>normal|anomaly)_)?(?P<machine_id>id_[0-9]{2})_[0-9]{8}\.(?i:wav|flac)"
)
_LABELS = {"normal": 0, "anomaly": 1, None: None}
_EXPECTED = "normal_id_00_00000000.wav, anomaly_id_00_00000000.wav or id_00_00000000.wav (or .flac)"


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        path: The audio file.
        machine_id: The machine's ID, such as `"id_00"`.
        label: 0 normal, 1 anomalous, None unknown (the evaluation set).
    """

    path: Path
    machine_id: str
    label: int | None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name


@dataclass(frozen=True)
class Dataset:
    """The clips of one machine type, each tuple in the order of the paths; `test` may be empty."""

    machine_type: str
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]


def parse_clip(path: Path) -> Clip:
    """Reads machine ID and label off a DCASE file name.

    Raises:
        UserError: If the name is not DCASE's.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise UserError(f"{path}: not a DCASE file name; expected {_EXPECTED}")
    return Clip(path, match["machine_id"], _LABELS[match["state"]])


def read_dataset(root: Path) -> Dataset:
    """Lists the clips of `root/train` and `root/test`, or of the one machine type below `root`.

    Args:
        root: The machine type's folder (the one with `train/` in it) or a folder up to three
            levels above, so that an archive that nests its top folder in itself can be named
            as it was unpacked.

    Raises:
        UserError: If there is no such folder, or several; if names are not DCASE's; if training
            clips are missing, altogether or for an ID in `test/`, or anomalous.
    """
    folder = _find_machine_type(root, "train")
    dataset = _list_dataset(folder)
    _check(dataset, folder)
    return dataset


def read_test_clips(root: Path) -> Dataset:
    """Lists the clips of a `test/` folder alone, such as that of the evaluation set.

    Args:
        root: As for `read_dataset`, but for the folder that has `test/` in it.

    Raises:
        UserError: If there is no such folder, or several, or no clip, or names are not DCASE's.
    """
    folder = _find_machine_type(root, "test")
    dataset = _list_dataset(folder, parts=("test",))
    if not dataset.test:
        raise UserError(f"{folder / 'test'}: holds no .wav or .flac clip to test on")
    return dataset


def _list_dataset(folder: Path, parts: Sequence[str] = ("train", "test")) -> Dataset:
    paths = {part: _list_audio(folder / part) for part in parts}
    if wrong := [str(p) for part in parts for p in paths[part] if not _NAME.fullmatch(p.name)]:
        raise UserError(
            f"{len(wrong)} file names are not DCASE's ({_some(wrong)}); expected {_EXPECTED}"
        )
    return Dataset(
        machine_type=Path(os.path.abspath(folder)).name,  # abspath: the root may be "."
        train=tuple(map(parse_clip, paths.get("train", ()))),
        test=tuple(map(parse_clip, paths["test"])),
    )


def find_audio(patterns: Sequence[str]) -> list[Path]:
    """Finds the audio files that files, folders (with all below them) or globs name.

    Returns:
        The paths, sorted, each once. A file named outright is taken whatever its suffix.

    Raises:
        UserError: If a pattern matches no audio file.
    """
    found = {pattern: _matches(pattern) for pattern in patterns}
    if missing := [pattern for pattern, paths in found.items() if not paths]:
        raise UserError(f"{_some(missing)}: matches no .wav or .flac file")
    return sorted({path for paths in found.values() for path in paths})


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    # A folder that exists is no glob, even with brackets in its name.
    names = [pattern] if path.is_dir() else glob.glob(pattern, recursive=True)
    return [match for name in names for match in _audio_below(Path(name))]


def _audio_below(path: Path) -> list[Path]:
    # glob, unlike Path.rglob before Python 3.13, goes into folders that are symbolic links.
    below = glob.glob("**", root_dir=path, recursive=True) if path.is_dir() else [""]
    return [path / name for name in below if _is_audio(path / name)]


def _list_audio(folder: Path) -> list[Path]:
    return sorted(filter(_is_audio, folder.iterdir())) if folder.is_dir() else []


def _is_audio(path: Path) -> bool:
    hidden = path.name.startswith(".")  # macOS leaves ._NAME.wav files, which are no audio
    return path.suffix.lower() in AUDIO_SUFFIXES and not hidden and not path.is_dir()


def _find_machine_type(root: Path, part: str) -> Path:
    """Finds the folder that has `part` in it, at `root` or below it; the nearest level wins."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; name the one that holds slider/{part}")
    for above in ("", "*/", "*/*/", "*/*/*/"):
        folders = sorted(path.parent for path in root.glob(above + part) if path.is_dir())
        if len(folders) > 1:
            names = ", ".join(folder.name for folder in folders)
            raise UserError(f"{root}: several machine types ({names}); name one: {folders[-1]}")
        if folders:
            return folders[0]
    raise UserError(f"{root}: no {part}/ in it or below; name the folder that holds slider/{part}")


def _check(dataset: Dataset, folder: Path) -> None:
    """Refuses what no model could be trained on, or tested with."""
    if not dataset.train:
        raise UserError(f"{folder / 'train'}: holds no .wav or .flac clip to train on")
    if anomalous := [clip.name for clip in dataset.train if clip.label == 1]:
        raise UserError(
            f"{folder / 'train'}: {len(anomalous)} anomalous clips ({_some(anomalous)}) where "
            "only normal ones belong; move them to test/"
        )
    known = {clip.machine_id for clip in dataset.train}
    if unknown := sorted({clip.machine_id for clip in dataset.test} - known):
        raise UserError(
            f"{folder / 'test'}: no clip in train/ is of {', '.join(unknown)}; add training clips "
            "or remove the test clips"
        )


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
