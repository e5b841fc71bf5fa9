"""The features of a split: computed once, cached on disk, placed on the device, drawn from."""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

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

CLIPS_PER_BATCH = 16
LONG = 30  # seconds; longer clips are computed one at a time, which bounds memory
FORMAT = 2  # goes into the cache key; raise it when the features of the same clip change


class Features(NamedTuple):
    """Log-mels of a split in dB: the frames of all clips in a row, and how many each clip has."""

    frames: Float[np.ndarray, "frame mel"]
    n_frames: Int[np.ndarray, " clip"]

    def clips(self) -> list[Float[np.ndarray, "_ mel"]]:
        """The log-mel `(time, mel)` of every clip."""
        return np.split(self.frames, np.cumsum(self.n_frames)[:-1]) if len(self.n_frames) else []


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

    Clips are padded to whole seconds, so that clips of about one length share one compiled
    function; the padding's frames are cut off again.

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


def _log_mels(batch, frontend: Frontend, rows: int):
    clips = [samples for _, samples in batch if not isinstance(samples, UserError)]
    second = frontend.sample_rate
    longest = max((-(-len(samples) // second) * second for samples in clips), default=second)
    padded = np.zeros((rows, longest), np.float32)
    for row, samples in zip(padded, clips, strict=False):
        row[: len(samples)] = samples
    log_mels = iter(np.asarray(log_mel_batch(padded, frontend)) if clips else ())
    for path, samples in batch:
        if isinstance(samples, UserError):
            yield path, samples
            continue
        log_mel = next(log_mels)[: frontend.n_frames(len(samples))]
        finite = np.isfinite(log_mel).all()
        yield path, log_mel if finite else UserError(f"{path}: samples are too large to be audio")


def compute_features(paths: Sequence[Path], frontend: Frontend) -> Features:
    """Log-mels of all clips.

    Raises:
        UserError: If files cannot be read; the message lists every one of them.
    """
    log_mels, errors = [], []
    for _, result in read_log_mels(paths, frontend):
        (errors if isinstance(result, UserError) else log_mels).append(result)
    if errors:
        listed = "".join(f"\n  {error}" for error in errors)
        raise UserError(f"{len(errors)} of {len(paths)} recordings cannot be used:{listed}")
    return _in_a_row(log_mels, frontend)


def cached_features(paths: Sequence[Path], frontend: Frontend, cache: Path) -> Features:
    """`compute_features`, kept in `cache` under a key of files, sizes, times and settings.

    A cache that cannot be written costs a warning, nothing else.
    """
    key = json.dumps([FORMAT, frontend, [_identity(path) for path in paths]])
    path = cache / "features" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    if path.exists():
        with np.load(path) as stored:
            return Features(stored["frames"], stored["n_frames"])
    features = compute_features(paths, frontend)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            np.savez(Path(scratch, path.name), frames=features.frames, n_frames=features.n_frames)
            os.replace(Path(scratch, path.name), path)
    except OSError as error:
        warnings.warn(f"features are not cached: {error}", stacklevel=2)
    return features


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
    log_mels = dict(zip(paths, cached_features(paths, frontend, cache).clips(), strict=True))
    return {
        split: _in_a_row([log_mels[clip.path] for clip in clips], frontend)
        for split, clips in source.splits.items()
    }


def _in_a_row(log_mels: Sequence[Float[np.ndarray, "_ mel"]], frontend: Frontend) -> Features:
    none = np.zeros((0, frontend.n_mels), np.float32)
    n_frames = np.array([len(log_mel) for log_mel in log_mels], np.int32)
    return Features(np.concatenate([none, *log_mels]), n_frames)


def make_bank(
    features: Features, machine: Int[np.ndarray, " clip"], statistics: Standardisation, mesh: Mesh
) -> Bank:
    """Places the standardised features of a split on the devices, an equal share on each."""
    first = np.cumsum(features.n_frames) - features.n_frames
    clips = replicate(mesh, (first, features.n_frames, machine))
    return Bank(split_rows(mesh, standardise(features.frames, statistics)), *clips)


def draw_patches(
    bank: Bank, key: PRNGKeyArray, batch_size: int, length: int
) -> tuple[Float[Array, "batch length mel 1"], Int[Array, " batch"]]:
    """Draws patches from random clips at random offsets, on the device.

    A clip shorter than a patch is repeated to fill it.

    Returns:
        The patches and the machine index of each.
    """
    clip_key, start_key = jax.random.split(key)
    clip = jax.random.randint(clip_key, (batch_size,), 0, len(bank.machine))
    room = jnp.maximum(bank.n_frames[clip] - length, 0) + 1
    start = jax.random.randint(start_key, (batch_size,), 0, room)
    offset = (start[:, None] + jnp.arange(length)) % bank.n_frames[clip][:, None]
    return bank.frames[bank.first[clip][:, None] + offset][..., None], bank.machine[clip]
