"""The layouts: every way that recordings are laid out in folders, in one registry.

To add a layout, write a file like `dcase2020.py` and add a line to `LAYOUTS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts import dcase2020


class Layout(NamedTuple):
    """How recordings are found and what their names say.

    Attributes:
        read_dataset: Lists the training clips below a folder, and the test clips if there are any.
        read_test_clips: Lists the test clips alone; the folder needs no training clips.
        parse_clip: Reads machine ID and label off one file's name.
    """

    read_dataset: Callable[[Path], Dataset]
    read_test_clips: Callable[[Path], Dataset]
    parse_clip: Callable[[Path], Clip]


LAYOUTS: dict[str, Layout] = {
    "dcase2020": Layout(dcase2020.read_dataset, dcase2020.read_test_clips, dcase2020.parse_clip),
}
