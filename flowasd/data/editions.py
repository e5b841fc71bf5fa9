"""The editions of DCASE Challenge Task 2: which record of Zenodo has which part, and its files.

`editions.json` has the number of every record, the machine types in it and where the number was
found. Names, sizes and checksums of the archives come from Zenodo itself; a checksum that
`editions.json` has, too, must be the same.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from flowasd.data.transfer import fetch_json
from flowasd.errors import UserError

ZENODO = "https://zenodo.org"


class Part(NamedTuple):
    """A part of an edition, which is a record of Zenodo.

    Attributes:
        record: Number of the record.
        source: Where the number was found, and the checksums.
        types: The machine types, each with the MD5 of its archive or with `None`.
        file: Name of the one file that a part without machine types has.
    """

    record: int
    source: str
    types: Mapping[str, str | None] = {}
    file: str | None = None


class File(NamedTuple):
    """A file of a record.

    Attributes:
        url: Its address.
        size: Its number of bytes.
        md5: Its checksum, in hexadecimal digits.
    """

    url: str
    size: int
    md5: str


EDITIONS: Mapping[str, Mapping[str, Part]] = {
    edition: {name: Part(**part) for name, part in parts.items()}
    for edition, parts in json.loads(Path(__file__).with_name("editions.json").read_text()).items()
}


def find_part(edition: str, part: str) -> Part:
    """Returns a part of an edition.

    Raises:
        UserError: If there is none of these names.
    """
    if edition not in EDITIONS:
        raise UserError(f"edition {edition}: is none of {', '.join(EDITIONS)}")
    if part not in EDITIONS[edition]:
        raise UserError(f"part {part}: edition {edition} has {', '.join(EDITIONS[edition])}")
    return EDITIONS[edition][part]


def type_in(name: str, types: Iterable[str]) -> str | None:
    """Returns the machine type that is a word of a name, such as `slider` of dev_slider.zip."""
    words = re.split(r"[\W_]+", name)
    return next((machine_type for machine_type in types if machine_type in words), None)


def list_archives(part: Part, types: Sequence[str]) -> dict[str, File]:
    """Asks Zenodo for the archives of machine types.

    Of an archive that the authors have replaced (dev_ToyCar_r2.zip), the last one is taken.

    Raises:
        UserError: If Zenodo does not answer, has no archive of a type, or has another checksum than
            `editions.json`.
    """
    revisions: dict[str, list[tuple[int, File]]] = {machine_type: [] for machine_type in types}
    for name, file in _list_files(part).items():
        machine_type = type_in(name, part.types)
        if machine_type in revisions and name.endswith(".zip"):
            number = re.search(r"_r(\d+)\.zip$", name)
            revisions[machine_type].append((int(number[1]) if number else 1, file))
    found = {}
    for machine_type, files in revisions.items():
        if not files:
            raise UserError(f"{ZENODO}/records/{part.record}: has no archive of {machine_type}")
        found[machine_type] = max(files)[1]
        pinned = part.types[machine_type]
        if pinned not in (None, found[machine_type].md5):
            raise UserError(
                f"{found[machine_type].url}: has the MD5 {found[machine_type].md5}, and had "
                f"{pinned}; ask its authors, and unpack it by --from_archive if all is well"
            )
    return found


def find_file(part: Part) -> File:
    """Asks Zenodo for the one file of a part without machine types.

    Raises:
        UserError: If Zenodo does not answer or has no such file.
    """
    files = _list_files(part)
    if part.file not in files:
        raise UserError(f"{ZENODO}/records/{part.record}: has no file {part.file}")
    return files[part.file]


def _list_files(part: Part) -> dict[str, File]:
    """Asks Zenodo for the files of a record, by name."""
    url = f"{ZENODO}/api/records/{part.record}"
    answer: Any = fetch_json(url)
    try:
        return {file["key"]: _read_entry(part, file) for file in answer["files"]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{url}: is no list of files as Zenodo writes it; try later") from error


def _read_entry(part: Part, entry: Mapping[str, Any]) -> File:
    kind, _, md5 = entry["checksum"].partition(":")
    if kind != "md5":
        raise ValueError(kind)
    url = f"{ZENODO}/records/{part.record}/files/{quote(entry['key'])}?download=1"
    return File(url, int(entry["size"]), md5)
