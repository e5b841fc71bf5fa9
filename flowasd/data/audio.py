"""Finds audio files and decodes them to float32 mono at one rate; damaged files are refused."""

import glob
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from flowasd.errors import UserError
from flowasd.files import read_ahead

AUDIO_SUFFIXES = (".wav", ".flac")

# A program that writes WAV to a pipe leaves this size in the header: it does not know the length.
_UNKNOWN_SIZE = 0xFFFFFFFF


def read_audio(path: Path | str, sample_rate: int = 16000) -> Float[np.ndarray, " samples"]:
    """Decodes the first channel of a WAV or FLAC file.

    Args:
        path: A file with integer samples of 8 to 32 bits or with floating-point samples.
        sample_rate: Rate of the result in Hz; a file of another rate is resampled (soxr, HQ).

    Returns:
        float32 samples; full scale is ±1. Only floating-point files and the overshoot of
        resampling can exceed full scale.

    Raises:
        UserError: If the file is missing, empty, cut short, damaged or not audio, or holds no
            samples or samples that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise UserError(f"{path}: neither .wav nor .flac; convert it first")
    try:
        cut_short = _is_wav_cut_short(path)
        samples, rate = _decode(path)
    # A damaged header may promise more samples than memory holds: ValueError or MemoryError.
    except (OSError, soundfile.SoundFileError, ValueError, MemoryError) as error:
        raise UserError(
            f"{path}: cannot be read; it is damaged, cut short, or not WAV or FLAC inside"
        ) from error
    if cut_short:
        raise UserError(f"{path}: cut short, its header promises more samples; fetch it again")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds NaN or infinite samples; export it again")
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate, quality="HQ")
    if samples.size == 0:
        raise UserError(f"{path}: holds no samples; remove it or record it again")
    return np.ascontiguousarray(samples)


def _decode(path: Path) -> tuple[Float[np.ndarray, " samples"], int]:
    """The first channel of a file, and its rate."""
    with soundfile.SoundFile(path) as file:
        # libsndfile takes longer to turn 16-bit FLAC into floats than NumPy does, for the same ones
        is_short = file.subtype == "PCM_16"
        samples = file.read(dtype="int16" if is_short else "float32", always_2d=True)[:, 0]
        return samples * np.float32(2**-15 if is_short else 1), file.samplerate


def read_all(
    paths: Iterable[Path], sample_rate: int = 16000
) -> Iterator[tuple[Path, Float[np.ndarray, " samples"] | UserError]]:
    """Decodes files in threads, ahead of their use, and yields them in the given order.

    Args:
        paths: The files.
        sample_rate: Rate of the results in Hz.

    Yields:
        Each path with its samples, or with the error that `read_audio` raised for it.
    """
    paths = list(paths)
    results = read_ahead(partial(_read_or_error, sample_rate=sample_rate), paths, 8)
    yield from zip(paths, results, strict=True)


def _read_or_error(path: Path, sample_rate: int) -> Float[np.ndarray, " samples"] | UserError:
    try:
        return read_audio(path, sample_rate)
    except UserError as error:
        return error


def _is_wav_cut_short(path: Path) -> bool:
    """Whether the chunks of a WAV file promise more bytes than it has; libsndfile ignores this."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(12)[:4] != b"RIFF":
            return False
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if length != _UNKNOWN_SIZE and file.tell() + length > size:
                return True
            if name == b"data":
                return False
            file.seek(length + length % 2, 1)  # chunks start at even offsets
    return False


def find_audio(patterns: Sequence[str]) -> list[Path]:
    """Finds audio files.

    Args:
        patterns: Names of files, folders or globs. A folder stands for all audio files in it, at
            every depth.

    Returns:
        The paths, sorted, each once. A pattern that is the name of a file always counts,
        whatever the suffix is.

    Raises:
        UserError: If a pattern matches no audio file.
    """
    found = {pattern: _matches(pattern) for pattern in patterns}
    if missing := [pattern for pattern, paths in found.items() if not paths]:
        raise UserError(f"{', '.join(missing[:5])}: matches no .wav or .flac file")
    return sorted({path for paths in found.values() for path in paths})


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    # A folder that exists is not a glob, even if its name has brackets.
    names = [pattern] if path.is_dir() else glob.glob(pattern, recursive=True)
    return [match for name in names for match in audio_below(Path(name))]


def audio_below(path: Path) -> list[Path]:
    """Lists the audio files in a folder, at every depth; a path that is none has itself at most."""
    # glob, unlike Path.rglob before Python 3.13, goes into folders that are symbolic links.
    below = glob.glob("**", root_dir=path, recursive=True) if path.is_dir() else [""]
    return [path / name for name in below if _is_audio(path / name)]


def list_audio(folder: Path) -> list[Path]:
    """Lists the audio files directly in a folder, sorted; a missing folder has none."""
    return sorted(filter(_is_audio, folder.iterdir())) if folder.is_dir() else []


def _is_audio(path: Path) -> bool:
    hidden = path.name.startswith(".")  # macOS leaves ._NAME.wav files, which hold no audio
    return path.suffix.lower() in AUDIO_SUFFIXES and not hidden and not path.is_dir()
