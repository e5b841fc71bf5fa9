"""The layout of ToyADMOS: `case1/NormalSound_IND/NUMBER_ToyCar_case1_normal_IND_ch1_0001.wav`.

A case is a machine ID. Four microphones recorded every sound, each into a file of its own; the
first one is read. The recordings of single operations (`IND`) are read, those of continuous
operation (`CNT`) and of noise alone are not.
"""

import re
from pathlib import Path

from flowasd.data.audio import list_audio
from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts.layout import Layout, NameForm, folders_with, name_of
from flowasd.data.layouts.unsplit import hold_out

FOLDERS = ("NormalSound_IND", "AnomalousSound_IND")
CHANNEL = "ch1"
NAME = NameForm(
    "ToyADMOS",
    "1100010001_ToyCar_case1_normal_IND_ch1_0001.wav",
    re.compile(
        r"(?:[0-9]+_)?[A-Za-z]+_(?P<case>case[0-9]+)_(?P<state>normal|ab[0-9]+)_IND_ch[0-9]_[0-9]+"
        r"\.(?i:wav|flac)"
    ),
)


def parse_clip(path: Path) -> Clip:
    """Reads the case, as the machine ID, and the label from a file name.

    Raises:
        UserError: If the name does not have this form.
    """
    match = NAME.match(path)
    return Clip(path, match["case"], int(match["state"] != "normal"))


def find(root: Path, split: str) -> list[Path]:
    """Lists the folders that hold folders of cases."""
    return sorted({folder.parent for folder in folders_with(root, FOLDERS) if folder != root})


def read(folder: Path) -> Dataset:
    """Lists the clips of all cases; a part of the normal ones is tested, as `hold_out` says.

    Raises:
        Misnamed: If a name does not have the form.
    """
    cases = sorted(path for path in folder.iterdir() if path.is_dir())
    paths = [path for case in cases for name in FOLDERS for path in list_audio(case / name)]
    first = [path for path in paths if f"_{CHANNEL}_" in path.name]
    dataset = Dataset(name_of(folder), *hold_out([*map(parse_clip, filter(NAME.fits, first))]))
    return NAME.check(first, dataset)


def claims(folder: Path) -> bool:
    """Whether there are folders of cases with such folders in them."""
    return bool(find(folder, "train"))


LAYOUT = Layout(find, read, parse_clip, claims)
