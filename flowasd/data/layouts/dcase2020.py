"""The layout of DCASE 2020 Task 2: `train/` and `test/`, and file names with ID and label."""

import re
from pathlib import Path

from flowasd.data.audio import list_audio
from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts.layout import LABELS, Layout, NameForm, folders_with, name_of

SPLITS = ("train", "test")
NAME = NameForm(
    "DCASE",
    "normal_id_00_00000000.wav, anomaly_id_00_00000000.wav or id_00_00000000.wav (or .flac)",
    re.compile(
        r"(?:(?P<state>normal|anomaly)_)?(?P<machine_id>id_[0-9]{2})_[0-9]{8}\.(?i:wav|flac)"
    ),
)


def parse_clip(path: Path) -> Clip:
    """Reads the machine ID and the label from a file name of DCASE 2020.

    Raises:
        UserError: If the name does not have this form.
    """
    match = NAME.match(path)
    return Clip(path, match["machine_id"], LABELS.get(match["state"]))


def find(root: Path, split: str) -> list[Path]:
    """Lists the folders that have a folder `split`."""
    return folders_with(root, [split])


def read(folder: Path) -> Dataset:
    """Lists the clips of `train/` and `test/`.

    Raises:
        Misnamed: If a name does not have DCASE's form.
    """
    paths = {split: list_audio(folder / split) for split in SPLITS}
    train, test = (tuple(map(parse_clip, filter(NAME.fits, paths[split]))) for split in SPLITS)
    dataset = Dataset(name_of(folder), train, test, edition=2020)
    return NAME.check((path for own in paths.values() for path in own), dataset)


def claims(folder: Path) -> bool:
    """Whether a name has this form."""
    return any(NAME.fits(path) for split in SPLITS for path in list_audio(folder / split))


LAYOUT = Layout(find, read, parse_clip, claims)
