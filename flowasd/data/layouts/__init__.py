"""The registry of layouts: how recordings are arranged in folders and what their names mean.

To add a layout, write a file like `dcase2020.py` and add a line to `LAYOUTS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts import dcase2020


class Layout(NamedTuple):
    """The functions of one layout.

    Attributes:
        read_dataset: Lists the training clips below a folder, and the test clips if there are any.
        read_test_clips: Lists only the test clips below a folder, which needs no training clips.
        parse_clip: Reads the machine ID and the label from the name of one file.
    """

    read_dataset: Callable[[Path], Dataset]
    read_test_clips: Callable[[Path], Dataset]
    parse_clip: Callable[[Path], Clip]


LAYOUTS: dict[str, Layout] = {
    "dcase2020": Layout(dcase2020.read_dataset, dcase2020.read_test_clips, dcase2020.parse_clip),
}
