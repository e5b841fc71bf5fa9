"""What a layout of recordings is, and what several layouts share."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from flowasd.data.clips import Clip, Dataset
from flowasd.errors import UserError

LABELS = {"normal": 0, "anomaly": 1, "anomalous": 1, "abnormal": 1}


class Misnamed(UserError):
    """Files of a data set have names that the layout cannot read.

    Attributes:
        paths: These files.
        others: The data set without them.
    """

    def __init__(self, text: str, paths: Sequence[Path], others: Dataset):
        super().__init__(text)
        self.paths, self.others = paths, others


class NameForm(NamedTuple):
    """The form of the file names of a layout.

    Attributes:
        owner: Whose names have it.
        expected: Examples.
        pattern: The regular expression of a whole name.
    """

    owner: str
    expected: str
    pattern: re.Pattern[str]

    def fits(self, path: Path) -> bool:
        """Whether a file's name has this form."""
        return self.pattern.fullmatch(path.name) is not None

    def match(self, path: Path) -> re.Match[str]:
        """Returns the parts of a file's name; raises a `UserError` if it has another form."""
        match = self.pattern.fullmatch(path.name)
        if match is None:
            raise UserError(f"{path}: not a {self.owner} file name; expected {self.expected}")
        return match

    def check(self, paths: Iterable[Path], others: Dataset) -> Dataset:
        """Returns the data set without the misnamed files; raises `Misnamed` if there are any."""
        if wrong := [path for path in paths if not self.fits(path)]:
            raise Misnamed(
                f"{len(wrong)} file names are not {self.owner} ones ({some(wrong)}); expected "
                f"{self.expected}; --config.data.layout=folder takes any names",
                wrong,
                others,
            )
        return others


class Layout(NamedTuple):
    """The functions of one layout.

    Attributes:
        find: Lists the folders of machine types at a root or below it that have clips of a split,
            `"train"` or `"test"`.
        read: Lists the clips in the folder of a machine type. Either split may be empty. It raises
            a `UserError` if it cannot, such as `Misnamed`.
        parse_clip: Reads the machine ID and the label from the path of one file. It raises a
            `UserError` if the path tells no ID.
        claims: Whether the folder of a machine type is laid out in this way. Without it, the
            layout must be named.
        typed: Whether a folder is called after the machine type. If it is not, the config or the
            root gives the machine type its name.
    """

    find: Callable[[Path, str], list[Path]]
    read: Callable[[Path], Dataset]
    parse_clip: Callable[[Path], Clip]
    claims: Callable[[Path], bool] = lambda folder: False
    typed: bool = True


def folders_with(root: Path, names: Collection[str]) -> list[Path]:
    """Lists the folders that have a folder of one of these names: the root, or all of one level.

    Args:
        root: The folder to begin with.
        names: Names of folders.

    Returns:
        The root if it has such a folder; else those folders of the nearest level below it, down to
        the third, which have one.
    """
    for above in ("", "*/", "*/*/", "*/*/*/"):
        found = {p.parent for name in names for p in root.glob(above + name) if p.is_dir()}
        if found:
            return sorted(found)
    return []


def name_of(folder: Path) -> str:
    """Returns the folder's own name; that of a link, not of what the link points to."""
    return Path(os.path.abspath(folder)).name  # the path may be "."


def some(names: Iterable[object], limit: int = 5) -> str:
    """Lists the first few of many names."""
    listed: Sequence[str] = [str(name) for name in names]
    return ", ".join(listed[:limit]) + (", …" if len(listed) > limit else "")
