"""Finds audio files and decodes a channel at one rate, as float32; damaged files are refused."""

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from flowasd.data.opening import AUDIO_SUFFIXES, open_audio, unreadable
from flowasd.errors import UserError
from flowasd.files import read_ahead_by

RATES = (1000, 1_000_000)  # Hz; resampling takes time and memory in proportion to their ratio
MAX_SECONDS = 3600.0
LONG = 30  # seconds; longer recordings are decoded one at a time, which bounds memory
AHEAD = 16  # short recordings that may wait decoded, while others are scored
BLOCK = 2**21  # values of all channels that are decoded at once
_ENDLESS = 2**36 - 1  # samples; FLAC cannot say more, and libsndfile says more if it says nothing

Result = TypeVar("Result")


def read_audio(
    path: Path | str,
    sample_rate: int = 16000,
    max_seconds: float = MAX_SECONDS,
    channel: int = 0,
) -> Float[np.ndarray, " samples"]:
    """Decodes one channel of a WAV or FLAC file.

    Args:
        path: A file with integer samples of 8 to 32 bits or with floating-point samples.
        sample_rate: Rate of the result in Hz; a file of another rate is resampled (soxr, HQ).
        max_seconds: Length of the longest file that is decoded.
        channel: The channel; a file that has only one is read whatever it is.

    Returns:
        float32 samples; full scale is ±1. Only floating-point files and the overshoot of
        resampling can exceed full scale.

    Raises:
        UserError: If the file is missing, empty, cut short, damaged, too long or not audio, or
            holds no such channel, no samples or samples that are not finite.
    """
    path = Path(path)
    with open_audio(path, warn=True) as file:
        check_length(path, file.frames, file.samplerate, max_seconds)
        if 1 < file.channels <= channel:
            raise UserError(
                f"{path}: has {file.channels} channels, counted from 0, and config.data.channel is "
                f"{channel}"
            )
        try:
            samples = _decode(file, sample_rate, min(channel, file.channels - 1))
        # A damaged header may promise more samples than memory holds: ValueError or MemoryError.
        except (OSError, soundfile.SoundFileError, ValueError, MemoryError) as error:
            raise unreadable(path) from error
    if samples.size == 0:
        raise UserError(f"{path}: holds no samples; remove it or record it again")
    with np.errstate(invalid="ignore"):
        lowest, highest = samples.min(), samples.max()
    if not np.isfinite([lowest, highest]).all():
        raise UserError(f"{path}: holds NaN or infinite samples; export it again")
    return samples


def check_length(name: Path, n_samples: int, rate: int, max_seconds: float) -> None:
    """Raises a `UserError` if a recording has an absurd rate, or lasts too long."""
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(
            f"{name}: has a rate of {rate} Hz, and 1 kHz to 1 MHz can be read; correct its header"
        )
    if n_samples >= _ENDLESS:
        raise UserError(f"{name}: cannot be read, it does not say its length; encode it again")
    if n_samples > max_seconds * rate:
        raise UserError(
            f"{name}: lasts {n_samples / rate:.0f} s, and config.data.max_clip_seconds is "
            f"{max_seconds:g}; cut it into parts, or raise the key"
        )


def _decode(
    file: soundfile.SoundFile, sample_rate: int, channel: int
) -> Float[np.ndarray, " samples"]:
    """A channel of a file, decoded and resampled block by block.

    Raises:
        ValueError: If the file ends too early.
    """
    rate, missing = file.samplerate, file.frames
    # libsndfile takes longer to turn 16-bit FLAC into floats than NumPy does, for the same ones
    is_short = file.subtype == "PCM_16"
    resampler = None
    if rate != sample_rate:
        resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    samples, end = np.empty(-(-missing * sample_rate // rate) + 1, np.float32), 0
    while missing:
        some = min(missing, max(1, BLOCK // file.channels))
        block = file.read(some, dtype="int16" if is_short else "float32", always_2d=True)
        block = block[:, channel]
        missing -= some
        if len(block) < some:
            raise ValueError("the file ends too early")
        if is_short:
            block = block * np.float32(2**-15)
        if resampler:
            block = resampler.resample_chunk(block, last=not missing)
        samples[end : end + len(block)] = block
        end += len(block)
    return samples[:end]


def read_each(
    read: Callable[[Path], Result], paths: Iterable[Path]
) -> Iterator[tuple[Path, Result | UserError]]:
    """Yields every path with what `read` returns for it, or with the `UserError` that it raises.

    Threads read short files ahead of their use. A long one is read when it is asked for.
    """
    paths = list(paths)
    results = read_ahead_by(_decoders(), partial(_unless_long, read), paths, AHEAD)
    for path, result in zip(paths, results, strict=True):
        yield path, _or_error(read, path) if result is None else result


@cache
def _decoders() -> ThreadPoolExecutor:
    """The threads that decode, as many as there are cores, up to four.

    They stay, because new threads for every call would leave freed memory in every arena of glibc's
    allocator.
    """
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1), "decode")


if hasattr(os, "register_at_fork"):  # a forked process has none of these threads
    os.register_at_fork(after_in_child=_decoders.cache_clear)


def _unless_long(read: Callable[[Path], Result], path: Path) -> Result | UserError | None:
    try:
        with open_audio(path) as file:
            is_long = file.frames > LONG * file.samplerate
    except UserError as error:
        return error
    return None if is_long else _or_error(read, path)


def _or_error(read: Callable[[Path], Result], path: Path) -> Result | UserError:
    try:
        return read(path)
    except UserError as error:
        return type(error)(str(error))  # the traceback of this one would keep the samples alive


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
    # Several links, or a link and its folder, may lead to one recording: its shortest path counts.
    real, places = cache(Path.resolve), {}
    every = {path for paths in found.values() for path in paths}
    for path in sorted(every, key=lambda path: (len(path.parts), path)):
        places.setdefault((real(path.parent), path.name), path)
    return sorted(places.values())


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    # A folder that exists is not a glob, even if its name has brackets.
    names = [pattern] if path.is_dir() else _expanded(pattern)
    return [match for name in names for match in audio_below(Path(name))]


def _expanded(pattern: str) -> list[str]:
    """What a glob matches; `**` goes into every real folder once, and glob into all links."""
    parts = re.split(r"(?:^|(?<=/))\*\*(?:/|$)", pattern, maxsplit=1)
    if len(parts) == 1:
        return glob.glob(pattern)
    above, below = parts
    folders = [folder for top in glob.glob(above or ".") for folder, _ in _folders(Path(top))]
    return [
        name
        for folder in folders
        for name in (_expanded(f"{glob.escape(str(folder))}/{below}") if below else [str(folder)])
    ]


def _folders(top: Path) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """A folder and those in it, at every depth, each once however many links lead to it.

    Folders come before links to folders, so that a folder goes by its own name. With each comes
    what is in it, in sorted order.
    """
    seen, waiting = set(), deque([top])
    while waiting:
        folder = waiting.popleft()
        try:
            status, inside = folder.stat(), _inside(folder)
        except OSError:
            continue  # it went, or may not be listed
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield folder, inside
            below = [entry for entry in inside if _is_folder(entry)]
            waiting.extendleft(folder / e.name for e in reversed(below) if not e.is_symlink())
            waiting.extend(folder / e.name for e in below if e.is_symlink())


def audio_below(path: Path) -> list[Path]:
    """Lists the audio files in a folder, at every depth; a path that is none has itself at most."""
    return [*map(Path, audio_names_below(path))]


def audio_names_below(path: Path) -> list[str]:
    """Lists the same as text, which takes half the time where there are thousands of files."""
    if not path.is_dir():
        return [str(path)] if _is_named_as_audio(path.name) else []
    return [name for _, inside in _folders(path) for name in _audio_of(inside)]


def list_audio(folder: Path) -> list[Path]:
    """Lists the audio files directly in a folder, sorted; a missing folder has none."""
    return [*map(Path, _audio_of(_inside(folder)))] if folder.is_dir() else []


def _inside(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; entries know what they are, and asking thousands of paths takes long."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not _is_hidden(e.name)), key=lambda entry: entry.name)


def _audio_of(inside: Iterable[os.DirEntry[str]]) -> list[str]:
    audio = (entry for entry in inside if _is_named_as_audio(entry.name))
    return [entry.path for entry in audio if not _is_folder(entry)]


def _is_named_as_audio(name: str) -> bool:
    return name.lower().endswith(AUDIO_SUFFIXES) and not _is_hidden(name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".")  # macOS leaves ._NAME.wav files, which hold no audio
