"""The layout of DCASE 2020 Task 2: `train/` and `test/`, and file names with ID and label."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from flowasd.data.audio import list_audio
from flowasd.data.clips import Clip, Dataset
from flowasd.errors import UserError

_NAME = re.compile(
    r"(?:(?P<state>normal|anomaly)_)?(?P<machine_id>id_[0-9]{2})_[0-9]{8}\.(?i:wav|flac)"
)
_LABELS = {"normal": 0, "anomaly": 1, None: None}
_EXPECTED = "normal_id_00_00000000.wav, anomaly_id_00_00000000.wav or id_00_00000000.wav (or .flac)"


def parse_clip(path: Path) -> Clip:
    """Reads the machine ID and the label from a DCASE file name.

    Raises:
        UserError: If the name does not have DCASE's form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise UserError(f"{path}: not a DCASE file name; expected {_EXPECTED}")
    return Clip(path, match["machine_id"], _LABELS[match["state"]])


def read_dataset(root: Path) -> Dataset:
    """Lists the clips of `root/train` and `root/test`, or of the only machine type below `root`.

    Args:
        root: The folder of the machine type, which has `train/` in it, or a folder up to three
            levels above it. An unpacked archive may therefore have folders around the data.

    Raises:
        UserError: If there is no such folder, or several; if a name does not have DCASE's form; if
            there are no training clips, or none of an ID in `test/`; or if a training clip is
            anomalous.
    """
    folder = _find_machine_type(root, "train")
    dataset = _list_dataset(folder)
    _check(dataset, folder)
    return dataset


def read_test_clips(root: Path) -> Dataset:
    """Lists only the clips of a `test/` folder, such as that of the evaluation set.

    Args:
        root: The folder that has `test/` in it, or a folder up to three levels above it.

    Raises:
        UserError: If there is no such folder, or several; if there is no clip; or if a name does
            not have DCASE's form.
    """
    folder = _find_machine_type(root, "test")
    dataset = _list_dataset(folder, parts=("test",))
    if not dataset.test:
        raise UserError(f"{folder / 'test'}: holds no .wav or .flac clip to test on")
    return dataset


def _list_dataset(folder: Path, parts: Sequence[str] = ("train", "test")) -> Dataset:
    paths = {part: list_audio(folder / part) for part in parts}
    if wrong := [str(p) for part in parts for p in paths[part] if not _NAME.fullmatch(p.name)]:
        raise UserError(
            f"{len(wrong)} file names are not DCASE's ({_some(wrong)}); expected {_EXPECTED}"
        )
    return Dataset(
        machine_type=Path(os.path.abspath(folder)).name,  # `abspath`, because the root may be "."
        train=tuple(map(parse_clip, paths.get("train", ()))),
        test=tuple(map(parse_clip, paths["test"])),
    )


def _find_machine_type(root: Path, part: str) -> Path:
    """Finds the folder with `part` in it: `root`, or the only one at the nearest level below."""
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
    """Raises a `UserError` if a model cannot be trained on these clips or tested on them."""
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
