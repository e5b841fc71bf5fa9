"""Opens WAV and FLAC files, of which no sample is decoded before their headers can be believed."""

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import soundfile

from flowasd.data.headers import check_header
from flowasd.errors import UserError

AUDIO_SUFFIXES = (".wav", ".flac")
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC")  # as libsndfile names them


class NoLength(UserWarning):
    """A header does not tell the length of its recording, which is read to the end of the file."""


@contextlib.contextmanager
def open_audio(path: Path, warn: bool = False) -> Iterator[soundfile.SoundFile]:
    """Opens a file whose header can be believed, before any sample is decoded.

    Args:
        path: The file.
        warn: Whether to say that a header does not tell the length.
    """
    with contextlib.ExitStack() as stack:
        try:
            _check_name(path)
            told = check_header(path)
            source = stack.enter_context(path.open("rb"))
            if told.size_at is not None:
                source = stack.enter_context(_sized(source, told.size_at))
            # By its number, because soundfile cannot encode every name.
            file = stack.enter_context(soundfile.SoundFile(source.fileno(), closefd=False))
        except (OSError, soundfile.SoundFileError, ValueError) as error:
            raise unreadable(path) from error
        if file.format not in FORMATS:
            raise UserError(f"{path}: holds {file.format}, not WAV or FLAC; convert it first")
        if warn and not told.length:
            message = f"{path}: its header tells no length; it is read to its end"
            # `warnings.warn` would remember every file for ever.
            warnings.warn_explicit(message, NoLength, __file__, 1)
        yield file


def _check_name(path: Path) -> None:
    """Raises a `UserError` unless a path is that of a file with the right suffix."""
    if not path.is_file():
        if path.exists() and not path.is_dir():  # a pipe may never end
            raise UserError(f"{path}: not a regular file; copy its content to one")
        raise UserError(f"{path}: no such file")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise UserError(f"{path}: neither .wav nor .flac; convert it first")


@contextlib.contextmanager
def _sized(source: BinaryIO, size_at: int) -> Iterator[BinaryIO]:
    """A temporary copy of a WAV file whose samples reach to its end, where it says 0."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        copy.seek(size_at)
        copy.write(b"\xff" * 4)
        copy.seek(0)  # libsndfile begins to read where the file stands
        yield copy


def unreadable(path: Path) -> UserError:
    """The error of a file that cannot be decoded."""
    return UserError(f"{path}: cannot be read; it is damaged, cut short, or not WAV or FLAC inside")
