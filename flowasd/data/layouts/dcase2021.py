"""The layout of DCASE Task 2 from 2021 to 2026, which MIMII DUE and MIMII DG share.

A section takes the place of the machine ID. Names tell section, domain, split, label and
attributes; files called `attributes_00.csv` may tell the attributes too.

| year | what differs |
|---|---|
| 2021 | `source_test/` and `target_test/` |
| 2022 | one `test/`, whose unlabelled clips do not tell their domain |
| 2024 | clips without attributes say `noAttribute` |
| 2025 | `supplemental/` holds the machine without noise, or noise alone; it is not read |
| 2026 | a name may hold an attribute twice |
"""

import csv
import re
from dataclasses import replace
from pathlib import Path

from flowasd.data.audio import list_audio
from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts.layout import LABELS, Layout, NameForm, folders_with, name_of
from flowasd.errors import UserError

DOMAIN_TESTS = ("source_test", "target_test")  # of 2021
FOLDERS = {"train": ("train",), "test": ("test", *DOMAIN_TESTS)}
NAME = NameForm(
    "DCASE",
    "section_00_source_train_normal_0000_vel_300.wav, section_00_source_test_0000.wav or "
    "section_00_0000.wav (or .flac)",
    re.compile(
        r"(?P<section>section_[0-9]{2})(?:_(?P<domain>source|target)_(?:train|test))?"
        r"(?:_(?P<state>normal|anomaly))?_[0-9]+(?:_(?P<attributes>.+))?\.(?i:wav|flac)"
    ),
)

Attributes = tuple[tuple[str, str], ...]


def parse_clip(path: Path) -> Clip:
    """Reads section, domain, label and attributes from a file name.

    Raises:
        UserError: If the name does not have this form.
    """
    match = NAME.match(path)
    label, attributes = LABELS.get(match["state"]), parse_attributes(match["attributes"] or "")
    return Clip(path, match["section"], label, match["domain"], attributes)


def parse_attributes(text: str) -> Attributes:
    """Splits `vel_620_ac_0.08` into pairs; a word that is left alone has an empty value.

    Example:
        >>> parse_attributes("car_D2_spd_5_mic_2_mic_1")
        (('car', 'D2'), ('spd', '5'), ('mic', '2'), ('mic', '1'))
        >>> parse_attributes("noAttribute")
        ()
    """
    words = [word for word in text.split("_") if word and word != "noAttribute"]
    values = [*words[1::2], ""] if len(words) % 2 else words[1::2]
    return tuple(zip(words[::2], values, strict=True))


def find(root: Path, split: str) -> list[Path]:
    """Lists the folders that have a folder of a split."""
    return folders_with(root, FOLDERS[split])


def read(folder: Path) -> Dataset:
    """Lists the clips of all splits.

    Raises:
        Misnamed: If a name does not have DCASE's form.
        UserError: If a file of attributes cannot be read.
    """
    paths = {s: [p for n in FOLDERS[s] for p in list_audio(folder / n)] for s in FOLDERS}
    listed = read_attributes(folder)
    train, test = (
        tuple(_clip(path, listed) for path in filter(NAME.fits, paths[split])) for split in FOLDERS
    )
    is_2021 = any((folder / name).is_dir() for name in DOMAIN_TESTS)
    dataset = Dataset(name_of(folder), train, test, 2021 if is_2021 else 2022)
    return NAME.check((path for own in paths.values() for path in own), dataset)


def read_attributes(folder: Path) -> dict[str, Attributes]:
    """Reads all `attributes_*.csv` of a machine type.

    A row is `file_name,d1p,d1v,d2p,d2v,…`, in which names and values of attributes take turns. The
    file's name may have folders before it, and may lack its suffix.

    Returns:
        The attributes by the file's name without folder and suffix.

    Raises:
        UserError: If a file is not UTF-8 text.
    """
    found: dict[str, Attributes] = {}
    for path in sorted(folder.glob("attributes_*.csv")):
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                for name, *cells in filter(None, csv.reader(file)):
                    words = [cell.strip() for cell in cells]
                    pairs = zip(words[::2], words[1::2], strict=False)
                    found[_stem(name)] = tuple((k, v) for k, v in pairs if k and v)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: cannot be read as CSV ({error}); unpack it again") from error
    found.pop("file_name", None)  # the header, where there is one
    return found


def _clip(path: Path, listed: dict[str, Attributes]) -> Clip:
    clip = parse_clip(path)
    domain = clip.domain or {n: n.split("_")[0] for n in DOMAIN_TESTS}.get(path.parent.name)
    return replace(clip, domain=domain, attributes=listed.get(path.stem) or clip.attributes)


def _stem(name: str) -> str:
    """The name without folder and suffix; a value such as 0.08 in it is no suffix."""
    return re.sub(r"\.(?i:wav|flac)$", "", name.strip().rsplit("/", 1)[-1])


def claims(folder: Path) -> bool:
    """Whether a name has this form."""
    names = [name for split in FOLDERS.values() for name in split]
    return any(NAME.fits(path) for name in names for path in list_audio(folder / name))


LAYOUT = Layout(find, read, parse_clip, claims)
