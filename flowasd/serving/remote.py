"""Recordings on this machine or behind URLs that fsspec knows."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import fsspec

from flowasd.data.audio import find_audio
from flowasd.data.opening import AUDIO_SUFFIXES
from flowasd.errors import UserError
from flowasd.files import read_ahead


def find_recordings(inputs: Sequence[str]) -> list[str]:
    """Finds the audio files of this machine and of URLs.

    Args:
        inputs: Files, globs or URLs, or folders, of which all files at every depth count.

    Returns:
        Absolute paths and URLs, sorted, each once.

    Raises:
        UserError: If an input matches no audio file, or is a URL that cannot be listed.
    """
    urls = [name for name in inputs if "://" in name]
    local = [name for name in inputs if "://" not in name]
    found = {str(path.absolute()) for path in find_audio(local)}
    for url in urls:
        if not (below := set(_list_url(url))):
            raise UserError(f"{url}: matches no .wav or .flac file")
        found |= below
    if odd := sorted(path for path in found if not _is_unicode(path)):
        raise UserError(f"{odd[0]!a}: the name is not Unicode, as Parquet has it; rename the file")
    return sorted(found)


def _is_unicode(path: str) -> bool:
    return path.encode(errors="replace").decode() == path


def _list_url(url: str) -> Iterator[str]:
    try:
        system, pattern = fsspec.url_to_fs(url)
        names = system.glob(pattern) if "*" in pattern else [pattern]
        files = [file for name in names for file in system.find(name)]
    except (ImportError, OSError, ValueError) as error:  # bad protocol, folder or permission
        raise UserError(f"{url}: cannot be listed ({error})") from error
    for file in files:
        name = PurePosixPath(file)
        if name.suffix.lower() in AUDIO_SUFFIXES and not name.name.startswith("."):
            yield system.unstrip_protocol(file)


def content_of(paths: Sequence[str]) -> str:
    """Returns a digest of what files contain; behind a URL, of what the store says of the file."""
    found = read_ahead(_fingerprint, paths, 32)
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def _fingerprint(path: str) -> str:
    try:
        if "://" not in path:
            if not Path(path).is_file():
                return "no file"  # nobody knows when a pipe ends
            with Path(path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        system, remote = fsspec.url_to_fs(path)
        return str(system.ukey(remote))  # of name, size, time and ETag, as far as they are known
    except Exception as error:  # every backend of fsspec has its own exceptions
        return repr(error)  # scoring says what is wrong


def fetch(path: str, folder: Path) -> Path | UserError:
    """Returns a local path, or copies the file of a URL to `folder` and returns the copy's path."""
    if "://" not in path:
        return Path(path)
    try:
        folder.mkdir()
        system, remote = fsspec.url_to_fs(path)
        here = folder / PurePosixPath(remote).name
        system.get_file(remote, str(here))
        return here
    except Exception as error:  # every backend of fsspec has its own exceptions
        return UserError(f"{path}: cannot be fetched ({error!r})")
