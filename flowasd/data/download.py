"""The public archives of DCASE Task 2, 2020 to 2026: fetched from Zenodo, verified, unpacked.

    python -m flowasd.data.download --root=DIR [--edition=2020] [--part=development] [--type=slider]
    python -m flowasd.data.download --root=DIR --from_archive=FILE

A machine type goes into DIR/PART/TYPE, and into DIR/EDITION/PART/TYPE for the editions after 2020;
`--config.data.root` takes the folder of a part. `--type=all` fetches every type of the
part. `--part=labels` fetches the list of the labels of the test recordings of 2020. A transfer that
was cut off goes on when the command is repeated. `--from_archive` unpacks a ZIP archive that you
have. The recordings are CC BY-NC-SA 4.0; `--help` names their authors' records.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from absl import flags
from filelock import FileLock, Timeout

from flowasd.command_line import run_command
from flowasd.data.archives import unpack
from flowasd.data.editions import EDITIONS, File, Part, find_file, find_part, list_archives
from flowasd.data.transfer import fetch_file
from flowasd.errors import UserError


def fetch_dcase(
    root: Path, part: str = "development", machine_type: str = "slider", edition: str = "2020"
) -> Path:
    """Fetches machine types of one part of an edition, unless they are there.

    Args:
        root: Folder of all parts.
        part: Name of the part.
        machine_type: The type, or `all`. The part `labels` is one file of all types.
        edition: Year of the challenge.

    Returns:
        The folder of the part, which holds the machine types' folders.

    Raises:
        UserError: If there is no such part or type, if a transfer fails, or if an archive is not
            what it should be.
    """
    chosen, folder = find_part(edition, part), part_folder(root, part, edition)
    folder.mkdir(parents=True, exist_ok=True)
    if chosen.file:
        _fetch_list(chosen, folder / chosen.file)
        return folder
    types = _choose_types(chosen, machine_type)
    if missing := [name for name in types if not (folder / name).exists()]:
        for name, archive in list_archives(chosen, missing).items():
            _fetch_type(archive, folder / name)
    return folder


def unpack_dcase(
    archive: Path, root: Path, part: str, machine_type: str = "all", edition: str = "2020"
) -> Path:
    """Unpacks an archive that the user has to where `fetch_dcase` would.

    Returns:
        The folder of the part.

    Raises:
        UserError: As `flowasd.data.archives.unpack` does.
    """
    chosen, folder = find_part(edition, part), part_folder(root, part, edition)
    if chosen.file:
        raise UserError(f"part {part}: is no archive")
    unpack(archive, folder, _choose_types(chosen, machine_type))
    return folder


def part_folder(root: Path, part: str, edition: str) -> Path:
    """Returns the folder of a part's machine types."""
    return root / part if edition == "2020" else root / edition / part


def _choose_types(part: Part, machine_type: str) -> list[str]:
    if machine_type == "all":
        return list(part.types)
    if machine_type not in part.types:
        raise UserError(f"type {machine_type}: is none of {', '.join(part.types)}, all")
    return [machine_type]


def _fetch_list(part: Part, path: Path) -> None:
    with _sole(path):
        if not path.exists():
            partial, file = path.with_name(f".{path.name}"), find_file(part)
            fetch_file(file.url, partial, file.size, file.md5)
            os.replace(partial, path)


def _fetch_type(file: File, folder: Path) -> None:
    with _sole(folder):
        if not folder.exists():
            archive = folder.with_name(f".{folder.name}.zip")
            fetch_file(file.url, archive, file.size, file.md5)
            unpack(archive, folder.parent, [folder.name])
            archive.unlink()


@contextmanager
def _sole(path: Path) -> Iterator[None]:
    """Lets no other process fetch the same while the block runs."""
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"{path}: another process is fetching it; wait for it") from error


def _records() -> str:
    """Returns a line for every part of every edition."""
    return "\n".join(
        f"  {edition} {name}, zenodo.org/records/{part.record}: "
        + (part.file or ", ".join(part.types))
        for edition, parts in EDITIONS.items()
        for name, part in parts.items()
    )


def main() -> None:
    """The command line."""
    parts = list(dict.fromkeys(name for edition in EDITIONS.values() for name in edition))
    root = flags.DEFINE_string("root", None, "Folder of all parts.", required=True)
    edition = flags.DEFINE_enum("edition", "2020", list(EDITIONS), "Year of the challenge.")
    part = flags.DEFINE_enum("part", "development", parts, "Part of the edition.")
    machine_type = flags.DEFINE_string(
        "type", None, "Machine type, or `all`; by default slider, or what an archive holds."
    )
    flags.DEFINE_alias("machine_type", "type")
    archive = flags.DEFINE_string("from_archive", None, "A ZIP archive to unpack; no network.")
    flags.DEFINE_alias("from-archive", "from_archive")

    def run() -> None:
        folder, named = Path(root.value).expanduser(), machine_type.value
        if part.value == "labels" and named not in (None, "all"):
            raise UserError("--type: the labels are one list of all types")
        if archive.value:
            path = Path(archive.value).expanduser()
            print(unpack_dcase(path, folder, part.value, named or "all", edition.value))
        else:
            print(fetch_dcase(folder, part.value, named or "slider", edition.value))

    run_command(run, "flowasd", help_page=_help_page, compiles=False)


def _help_page(_: Sequence[str]) -> str:
    own = flags.FLAGS.module_help(flags.FLAGS.find_module_defining_flag("edition"))
    return f"{__doc__}\n{own}\n\nThe parts and their machine types:\n{_records()}"


if __name__ == "__main__":
    main()
