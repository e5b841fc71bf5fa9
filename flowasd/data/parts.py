"""What training reads of a root, as far as the layouts can list it, whatever is wrong with it."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flowasd.data.clips import Dataset
from flowasd.data.dataset import of_type, only, type_of
from flowasd.data.layouts import LAYOUTS, find_layout
from flowasd.data.layouts.layout import Layout, Misnamed
from flowasd.data.source import DataConfig, training_folders
from flowasd.errors import UserError


class Part(NamedTuple):
    """A folder of a machine type, or a file that lists recordings; training may join several.

    Attributes:
        name: What `train_on` or `test_on` calls it; empty if neither does.
        splits: Which of its clips are used: "train", "test", or both.
        layout: Name of its layout.
        folder: Where it is.
        dataset: All of its clips that the layout can list.
        unread: The error of the layout; then not all clips are listed.
    """

    name: str
    splits: Collection[str]
    layout: str
    folder: Path
    dataset: Dataset
    unread: UserError | None

    @property
    def used(self) -> Dataset:
        """The clips that are used."""
        train = self.dataset.train if "train" in self.splits else ()
        test = self.dataset.test if "test" in self.splits else ()
        return Dataset("", train, test)


class _Place(NamedTuple):
    """The root, or a folder below it that `train_on` or `test_on` names.

    Attributes:
        name: What they call it; empty for the root.
        path: Where it is.
        splits: Which of its clips are used: "train", "test", or both.
        layout: Name of its layout.
        folders: The folders of machine types in it.
    """

    name: str
    path: Path
    splits: Collection[str]
    layout: str
    folders: list[Path]

    @property
    def types(self) -> list[str]:
        """The machine types that its folders are called after."""
        return [type_of(folder) for folder in self.folders if LAYOUTS[self.layout].typed]

    def part(self, machine_type: str) -> Part:
        """Reads the clips of a machine type, as far as the layout can list them."""
        known = self.name, self.splits, self.layout
        try:
            folder = only(self.path, self.layout, self.folders, machine_type)
        except UserError as error:
            return Part(*known, self.path, Dataset("", (), ()), error)
        return Part(*known, folder, *_read(LAYOUTS[self.layout], folder))


def read_parts(data: DataConfig) -> Iterator[tuple[str, list[Part]]]:
    """Yields the name of every machine type, with the parts that training joins.

    Args:
        data: The root and how it is read. If it names no machine type, all are read.

    Raises:
        UserError: If there is no such folder or machine type.
    """
    places = [*_places(data)]
    if len(places) == 1:
        (place,) = places
        for folder in of_type(place.path, place.layout, place.folders, data.machine_type):
            yield type_of(folder), [place._replace(folders=[folder]).part("")]
        return
    found = dict.fromkeys(name for place in places for name in place.types)
    names = [data.machine_type] if data.machine_type else found or [type_of(Path(data.root))]
    for name in names:
        yield name, [place.part(name) for place in places]


def _places(data: DataConfig) -> Iterator[_Place]:
    """What training reads; of each place, the folders that have clips to train on or to test on."""
    names = [name.strip() for name in data.train_on.split("+")]
    splits = ("train",) if data.test_on else ("train", "test")
    for name, path in zip(names, training_folders(data), strict=True):
        yield _Place(name, path, splits, *_find(path, splits, data.layout))
    if data.test_on:
        path = Path(data.root, data.test_on)
        yield _Place(data.test_on, path, ("test",), *_find(path, ("test",), data.layout))


def _find(root: Path, splits: Sequence[str], layout: str) -> tuple[str, list[Path]]:
    """The name of the layout, and the folders that have clips of one of the splits."""
    try:
        found, folders = find_layout(root, splits[0], layout)
    except UserError as error:
        try:
            return find_layout(root, splits[-1], layout)
        except UserError:
            raise error from None
    others = (folder for split in splits for folder in LAYOUTS[found].find(root, split))
    return found, sorted({*folders, *others})


def _read(layout: Layout, folder: Path) -> tuple[Dataset, UserError | None]:
    """The clips that the layout can list, and its error."""
    try:
        return layout.read(folder), None
    except Misnamed as error:
        return error.others, error
    except UserError as error:
        return Dataset("", (), ()), error
