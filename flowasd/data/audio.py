"""Audio files decoded to float32 mono at one rate, and nothing that is damaged let through."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from flowasd.data.dcase import AUDIO_SUFFIXES
from flowasd.errors import UserError

# The size that a writer to a pipe leaves in the header, because it cannot go back to mend it.
_UNKNOWN_SIZE = 0xFFFFFFFF


def read_audio(path: Path | str, sample_rate: int = 16000) -> Float[np.ndarray, " samples"]:
    """Decodes the first channel of a WAV or FLAC file.

    Args:
        path: The file; integer samples of 8 to 32 bits or floating point.
        sample_rate: The rate wanted, in Hz; a file of another rate is resampled (soxr, HQ).

    Returns:
        float32 samples, full scale at ±1. Only float files and the overshoot of resampling can
        go beyond it.

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
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    # ValueError, MemoryError: a damaged header may promise more samples than any memory holds.
    except (OSError, soundfile.SoundFileError, ValueError, MemoryError) as error:
        raise UserError(
            f"{path}: cannot be read; it is damaged, cut short, or not WAV or FLAC inside"
        ) from error
    if cut_short:
        raise UserError(f"{path}: cut short, its header promises more samples; fetch it again")
    samples = samples[:, 0]
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds NaN or infinite samples; export it again")
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate, quality="HQ")
    if samples.size == 0:
        raise UserError(f"{path}: holds no samples; remove it or record it again")
    return np.ascontiguousarray(samples)


def read_all(
    paths: Iterable[Path], sample_rate: int = 16000, workers: int = 4
) -> Iterator[tuple[Path, Float[np.ndarray, " samples"] | UserError]]:
    """Decodes files in threads ahead of their use, and yields them in the order given.

    Args:
        paths: The files.
        sample_rate: As for `read_audio`.
        workers: Threads; at most `2 * workers` decoded clips wait in memory.

    Yields:
        Each path with its samples, or with the error that `read_audio` raised for it.
    """
    ahead = deque()
    with ThreadPoolExecutor(workers) as pool:
        for path in paths:
            ahead.append((path, pool.submit(_read_or_error, path, sample_rate)))
            if len(ahead) == 2 * workers:
                oldest, future = ahead.popleft()
                yield oldest, future.result()
        for path, future in ahead:
            yield path, future.result()


def _read_or_error(path: Path, sample_rate: int) -> Float[np.ndarray, " samples"] | UserError:
    try:
        return read_audio(path, sample_rate)
    except UserError as error:
        return error


def _is_wav_cut_short(path: Path) -> bool:
    """Whether a WAV's chunks promise more bytes than there are; libsndfile reads on silently."""
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
