"""The layout of DCASE 2020 Task 2: `train/` and `test/`, and file names with ID and label."""

import re
from pathlib import Path

from flowasd.data.audio import list_audio
from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts.layout import Layout, Misnamed, folders_with, name_of, some
from flowasd.errors import UserError

SPLITS = ("train", "test")
EXPECTED = "normal_id_00_00000000.wav, anomaly_id_00_00000000.wav or id_00_00000000.wav (or .flac)"
_NAME = re.compile(
    r"(?:(?P<state>normal|anomaly)_)?(?P<machine_id>id_[0-9]{2})_[0-9]{8}\.(?i:wav|flac)"
)
_LABELS = {"normal": 0, "anomaly": 1, None: None}


def parse_clip(path: Path) -> Clip:
    """Reads the machine ID and the label from a file name of DCASE 2020.

    Raises:
        UserError: If the name does not have this form.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise UserError(f"{path}: not a DCASE file name; expected {EXPECTED}")
    return Clip(path, match["machine_id"], _LABELS[match["state"]])


def find(root: Path, split: str) -> list[Path]:
    """Lists the folders that have a folder `split`."""
    return folders_with(root, [split])


def read(folder: Path) -> Dataset:
    """Lists the clips of `train/` and `test/`.

    Raises:
        Misnamed: If a name does not have DCASE's form.
    """
    paths = {split: list_audio(folder / split) for split in SPLITS}
    wrong = [p for own in paths.values() for p in own if not _NAME.fullmatch(p.name)]
    train, test = (
        tuple(parse_clip(p) for p in own if _NAME.fullmatch(p.name)) for own in paths.values()
    )
    dataset = Dataset(name_of(folder), train, test, edition=2020)
    if wrong:
        raise Misnamed(
            f"{len(wrong)} file names are not DCASE 2020's ({some(wrong)}); expected {EXPECTED}; "
            "--config.data.layout=folder takes any names",
            wrong,
            dataset,
        )
    return dataset


def claims(folder: Path) -> bool:
    """Whether a name has this form."""
    return any(_NAME.fullmatch(p.name) for split in SPLITS for p in list_audio(folder / split))


LAYOUT = Layout(find, read, parse_clip, claims)
