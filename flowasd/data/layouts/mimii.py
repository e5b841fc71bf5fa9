"""The layout of raw MIMII: `id_00/normal/00000000.wav` and `id_00/abnormal/00000000.wav`.

The folder of the machine type holds the folders of the IDs. Its recordings have eight channels.
"""

import re
from pathlib import Path

from flowasd.data.audio import list_audio
from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts.layout import LABELS, Layout, folders_with, name_of
from flowasd.data.layouts.unsplit import hold_out
from flowasd.errors import UserError

STATES = ("normal", "abnormal")  # the folders of an ID
_ID = re.compile(r"id_[0-9]{2}")


def parse_clip(path: Path) -> Clip:
    """Reads the machine ID and the label from the folders of a file.

    Raises:
        UserError: If the file is not in such folders.
    """
    state, machine_id = path.parent.name, path.parent.parent.name
    if state not in STATES or not _ID.fullmatch(machine_id):
        raise UserError(f"{path}: not laid out as in MIMII; expected id_00/normal/{path.name}")
    return Clip(path, machine_id, LABELS[state])


def find(root: Path, split: str) -> list[Path]:
    """Lists the folders that hold folders of IDs with normal or abnormal clips."""
    ids = [folder for folder in folders_with(root, STATES) if folder != root]
    return sorted({folder.parent for folder in ids if _ID.fullmatch(name_of(folder))})


def read(folder: Path) -> Dataset:
    """Lists the clips of all IDs; a part of the normal ones is tested, as `hold_out` says."""
    ids = sorted(path for path in folder.iterdir() if path.is_dir() and _ID.fullmatch(path.name))
    paths = [path for own in ids for state in STATES for path in list_audio(own / state)]
    return Dataset(name_of(folder), *hold_out(tuple(map(parse_clip, paths))))


def claims(folder: Path) -> bool:
    """Whether there are folders of IDs with folders of normal or abnormal clips in them."""
    return bool(find(folder, "train"))


LAYOUT = Layout(find, read, parse_clip, claims)
