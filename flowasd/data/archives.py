"""ZIP archives of recordings: their machine types, unpacked into a folder and nowhere else.

An archive may have its machine type's folder at the top, as Zenodo's have (slider/train), inside
other folders or inside itself, as the archive of a course on Kaggle has (slider/slider/train).
"""

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import NoReturn

from tqdm import tqdm

from flowasd.data.editions import type_in
from flowasd.data.layouts.dcase2021 import FOLDERS
from flowasd.errors import UserError
from flowasd.files import require_space

# The folders of recordings in a machine type's folder.
SPLITS = {"supplemental"} | {name for names in FOLDERS.values() for name in names}
# What Python's reader of ZIP archives raises on damage.
DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, ValueError)

Parts = tuple[str, ...]  # of a path


def unpack(archive: Path, folder: Path, types: Sequence[str]) -> list[str]:
    """Unpacks the machine types of an archive into folders of their names.

    A machine type's folder appears when it is complete.

    Args:
        archive: The ZIP archive.
        folder: Where the machine types' folders go; it is made.
        types: The machine types to look for.

    Returns:
        The machine types that were in the archive.

    Raises:
        UserError: If the archive is damaged or encrypted, if something in it is a link, is there
            twice or would lie outside `folder`, if it has none of the types or has one in two
            places, if a type is in `folder` already, or if the disk has no room.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            files = _files(archive, content.infolist())
            holders = _find_types(archive, list(files), types)
            if there := next((name for name in holders if (folder / name).exists()), None):
                raise UserError(f"{folder / there}: is there already; remove it first")
            targets = {
                Path(name, *path[len(holder) :]): member
                for path, member in files.items()
                for name, holder in holders.items()
                if _belongs(path, holder)
            }
            folder.mkdir(parents=True, exist_ok=True)
            require_space(folder, sum(member.file_size for member in targets.values()))
            with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
                _extract(content, {Path(scratch, path): file for path, file in targets.items()})
                for name in holders:
                    os.replace(Path(scratch, name), folder / name)
    except DAMAGE as error:
        raise UserError(
            f"{archive}: is no ZIP archive, or damaged ({error}); fetch it again"
        ) from error
    except NotImplementedError as error:  # zipfile's word for a compression that it does not know
        raise UserError(
            f"{archive}: is compressed in a way that Python cannot read ({error}); unpack it by "
            "another program"
        ) from error
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked ({error})") from error
    return list(holders)


def _extract(content: zipfile.ZipFile, targets: dict[Path, zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in targets.values())
    with tqdm(desc="unpacking", total=total, unit="B", unit_scale=True, disable=None) as bar:
        for path, member in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with content.open(member) as source, path.open("xb") as file:
                shutil.copyfileobj(source, file)
            bar.update(member.file_size)


def _files(archive: Path, members: Sequence[zipfile.ZipInfo]) -> dict[Parts, zipfile.ZipInfo]:
    """The files of an archive by their paths, after all paths were checked."""
    files: dict[Parts, zipfile.ZipInfo] = {}
    for member in members:
        path = _checked_path(archive, member)
        if _is_folder(member):
            continue
        if path in files:  # programs differ in which of them they unpack
            raise UserError(f"{archive}: {member.filename!r} is there twice; it was not unpacked")
        files[path] = member
    return files


def _checked_path(archive: Path, member: zipfile.ZipInfo) -> Parts:
    """Returns the parts of a member's path, which is a file or a folder below the top."""
    name = member.orig_filename  # as it was written
    parts = PurePosixPath(member.filename).parts

    def refuse(what: str) -> NoReturn:
        raise UserError(f"{archive}: {name!r} {what}; it was not unpacked")

    if re.match(r"/|[A-Za-z]:", name) or re.search(r"[\\\0]", name) or ".." in parts:
        refuse("is not a path below the top")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        refuse("is a link or a device")
    if member.flag_bits & 0x1:
        refuse("is encrypted")
    if not parts and not _is_folder(member):
        refuse("has no name")
    return parts


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith("/")  # `is_dir` fails on an empty name in Python 3.11


def _find_types(archive: Path, paths: Sequence[Parts], types: Sequence[str]) -> dict[str, Parts]:
    """Finds the folder of every machine type: the deepest one that holds train/ or the like.

    It has the name of the type, or the type is a word in the name of a folder around it or of the
    archive.
    """
    holders: dict[str, Parts] = {}
    for path in paths:
        last = max((i for i, part in enumerate(path[:-1]) if part in SPLITS), default=None)
        if last is None or _is_clutter(path):
            continue
        holder = path[:last]
        names = (*reversed(holder), archive.stem)
        found = next((name for name in (type_in(name, types) for name in names) if name), None)
        if found and holders.setdefault(found, holder) != holder:
            places = " and in ".join(
                str(PurePosixPath(*parts)) for parts in (holders[found], holder)
            )
            raise UserError(f"{archive}: has {found} in {places}; unpack the one that you want")
    if not holders:
        raise UserError(f"{archive}: has no train/ or test/ of {', '.join(types)}")
    return holders


def _belongs(path: Parts, holder: Parts) -> bool:
    """Whether a file lies in a type's folder or in its recordings' folders."""
    inside = path[len(holder) :]
    return (
        path[: len(holder)] == holder
        and (len(inside) == 1 or inside[0] in SPLITS)
        and not _is_clutter(path)
    )


def _is_clutter(path: Parts) -> bool:
    """Whether it is one of the files that macOS adds to an archive."""
    return path[0] == "__MACOSX" or path[-1] == ".DS_Store" or path[-1].startswith("._")
