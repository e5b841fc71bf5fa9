"""The features of a split: computed once, kept on disk, placed on the device, drawn from."""

import contextlib
import hashlib
import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowasd.data.audio import read_all
from flowasd.data.source import Source
from flowasd.errors import UserError
from flowasd.frontend import Frontend, Standardisation, log_mel_batch, standardise
from flowasd.parallel import replicate, split_rows

CLIPS_PER_BATCH = 4  # the overlapping frames of four of ten seconds, 5 to 12 MB, stay in the cache
LONG = 30  # seconds; longer clips are computed one at a time, which bounds memory
FORMAT = 2  # goes into the cache key; raise it when the features of the same clip change
FRAMES, LENGTHS = "frames.npy", "n_frames.npy"  # in the folder of that key


class Features(NamedTuple):
    """Log-mels of some clips in dB.

    Attributes:
        frames: Frames of these clips and of others, mapped from disk: what is not looked at is
            not read.
        first: First frame of every clip.
        n_frames: Number of frames of every clip.
    """

    frames: Float[np.ndarray, "frame mel"]
    first: Int[np.ndarray, " clip"]
    n_frames: Int[np.ndarray, " clip"]

    @property
    def nbytes(self) -> int:
        """Size of these clips in memory, in bytes."""
        return int(self.n_frames.sum()) * self.frames.shape[1] * self.frames.itemsize

    def clips(self) -> list[Float[np.ndarray, "_ mel"]]:
        """The log-mel `(time, mel)` of every clip, as a view."""
        spans = zip(self.first, self.n_frames, strict=True)
        return [self.frames[first : first + length] for first, length in spans]


# Patches and the machine index of each.
Drawn = tuple[Float[Array, "batch length mel 1"], Int[Array, " batch"]]


class Bank(NamedTuple):
    """Standardised features on the devices, with first frame and machine index of every clip."""

    frames: Float[Array, "frame mel"]
    first: Int[Array, " clip"]
    n_frames: Int[Array, " clip"]
    machine: Int[Array, " clip"]


def read_log_mels(
    paths: Sequence[Path], frontend: Frontend
) -> Iterator[tuple[Path, Float[np.ndarray, "time mel"] | UserError]]:
    """Decodes files and computes their log-mels, a batch at a time.

    Yields:
        Every path with its log-mel in dB, or with the error that its file gave, in order.
    """
    batch: list[tuple[Path, np.ndarray | UserError]] = []
    for path, samples in read_all(paths, frontend.sample_rate):
        is_long = not isinstance(samples, UserError) and len(samples) > LONG * frontend.sample_rate
        if is_long or len(batch) == CLIPS_PER_BATCH:
            yield from _log_mels(batch, frontend, CLIPS_PER_BATCH)
            batch = []
        if is_long:
            yield from _log_mels([(path, samples)], frontend, 1)
        else:
            batch.append((path, samples))
    yield from _log_mels(batch, frontend, CLIPS_PER_BATCH)


def log_mels(
    clips: Sequence[Float[np.ndarray, "_"]], frontend: Frontend, rows: int
) -> list[Float[np.ndarray, "_ mel"]]:
    """Log-mels in dB of at most `rows` clips.

    Clips are padded to whole seconds, so that clips of about one length share one compiled
    function; the padding's frames are cut off again.

    Args:
        clips: Samples at the front-end's rate; there is one clip at least.
        frontend: Settings of the log-mel.
        rows: Clips that the compiled function takes.
    """
    second = frontend.sample_rate
    longest = max(-(-len(samples) // second) * second for samples in clips)
    padded = np.zeros((rows, longest), np.float32)
    for row, samples in zip(padded, clips, strict=False):
        row[: len(samples)] = samples
    frames = np.asarray(log_mel_batch(padded, frontend))
    return [
        own[: frontend.n_frames(len(samples))] for own, samples in zip(frames, clips, strict=False)
    ]


def _log_mels(batch, frontend: Frontend, rows: int):
    clips = [samples for _, samples in batch if not isinstance(samples, UserError)]
    computed = iter(log_mels(clips, frontend, rows) if clips else ())
    for path, samples in batch:
        if isinstance(samples, UserError):
            yield path, samples
            continue
        log_mel = next(computed)
        finite = np.isfinite(log_mel).all()
        yield path, log_mel if finite else UserError(f"{path}: samples are too large to be audio")


def compute_features(paths: Sequence[Path], frontend: Frontend, folder: Path) -> Features:
    """Writes the log-mels of all clips into a folder, a batch at a time, and maps them.

    Raises:
        UserError: If files cannot be read; the message lists every one of them.
    """
    n_frames: list[int] = []
    errors: list[UserError] = []
    with open(folder / FRAMES, "wb") as file:
        _write_header(file, 0, frontend.n_mels)
        for _, result in read_log_mels(paths, frontend):
            if isinstance(result, UserError):
                errors.append(result)
            else:
                n_frames.append(len(result))
                result.tofile(file)
        file.seek(0)
        _write_header(file, sum(n_frames), frontend.n_mels)
    if errors:
        listed = "".join(f"\n  {error}" for error in errors)
        raise UserError(f"{len(errors)} of {len(paths)} recordings cannot be used:{listed}")
    np.save(folder / LENGTHS, np.array(n_frames, np.int64))
    return _mapped(folder)


def _write_header(file: BinaryIO, n_frames: int, n_mels: int) -> None:
    # numpy pads the header so that the first axis can grow without moving what follows.
    header = {"descr": "<f4", "fortran_order": False, "shape": (n_frames, n_mels)}
    np.lib.format.write_array_header_1_0(file, header)


def _mapped(folder: Path) -> Features:
    n_frames = np.load(folder / LENGTHS)
    frames = np.asarray(np.load(folder / FRAMES, mmap_mode="r"))
    return Features(frames, np.cumsum(n_frames) - n_frames, n_frames)


def cached_features(paths: Sequence[Path], frontend: Frontend, cache: Path) -> Features:
    """`compute_features`, kept in `cache` under a key of files, sizes, times and settings.

    Where the cache cannot be written, the features are in a temporary file, at a warning.
    """
    key = json.dumps([FORMAT, frontend, [_identity(path) for path in paths]])
    folder = cache / "features" / hashlib.sha256(key.encode()).hexdigest()[:32]
    if folder.exists():
        return _mapped(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            unfinished = Path(scratch, folder.name)
            unfinished.mkdir()
            features = compute_features(paths, frontend, unfinished)
            with contextlib.suppress(OSError):  # another process was faster
                unfinished.rename(folder)
            return features
    except OSError as error:
        warnings.warn(f"features are not cached: {error}", stacklevel=2)
        with tempfile.TemporaryDirectory() as scratch:
            return compute_features(paths, frontend, Path(scratch))


def _identity(path: Path) -> list[str | int]:
    with contextlib.suppress(OSError):  # a broken link is an error of decoding, listed with others
        stat = path.stat()
        return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    return [str(path)]


def source_features(source: Source, frontend: Frontend, cache: Path) -> dict[str, Features]:
    """Features of every split.

    All files are read in one go, so that one error lists every bad recording, and in an order
    that does not depend on the split, so that another split finds them in the cache.
    """
    paths = sorted(clip.path for clips in source.splits.values() for clip in clips)
    place = {path: i for i, path in enumerate(paths)}
    frames, first, n_frames = cached_features(paths, frontend, cache)
    splits = {
        split: np.array([place[clip.path] for clip in clips], np.int64)
        for split, clips in source.splits.items()
    }
    return {split: Features(frames, first[i], n_frames[i]) for split, i in splits.items()}


def make_bank(
    features: Features, machine: Int[np.ndarray, " clip"], statistics: Standardisation, mesh: Mesh
) -> Bank:
    """Places the standardised features of a split on the devices, an equal share on each."""
    frames = np.concatenate([standardise(clip, statistics) for clip in features.clips()])
    first = np.cumsum(features.n_frames) - features.n_frames
    clips = replicate(mesh, (first, features.n_frames, machine))
    return Bank(split_rows(mesh, frames), *clips)


def draw(
    n_frames: Int[Array, " clip"], key: PRNGKeyArray, batch_size: int, length: int
) -> tuple[Int[Array, " batch"], Int[Array, " batch"]]:
    """Draws patches: random clips, and a random first frame in each."""
    clip_key, start_key = jax.random.split(key)
    clip = jax.random.randint(clip_key, (batch_size,), 0, len(n_frames))
    room = jnp.maximum(n_frames[clip] - length, 0) + 1
    return clip, jax.random.randint(start_key, (batch_size,), 0, room)


def draw_patches(bank: Bank, key: PRNGKeyArray, batch_size: int, length: int) -> Drawn:
    """Draws patches from random clips at random offsets, on the device.

    A clip shorter than a patch is repeated to fill it.
    """
    clip, start = draw(bank.n_frames, key, batch_size, length)
    offset = (start[:, None] + jnp.arange(length)) % bank.n_frames[clip][:, None]
    return bank.frames[bank.first[clip][:, None] + offset][..., None], bank.machine[clip]
