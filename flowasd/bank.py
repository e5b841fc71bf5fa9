"""The features of a split: computed once, cached on disk, placed on the device, drawn from."""

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
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowasd.data.audio import read_all
from flowasd.data.source import Source
from flowasd.errors import UserError
from flowasd.frontend import Frontend, Standardisation, log_mel_batch, standardise, take_patches

CLIPS_PER_BATCH = 16
FORMAT = 1  # goes into the cache key; raise it when the features of the same clip change


class Features(NamedTuple):
    """Log-mels of a split in dB, padded to the longest clip, and the valid frames of each."""

    log_mel: Float[np.ndarray, "clip time mel"]
    n_frames: Int[np.ndarray, " clip"]


class Bank(NamedTuple):
    """Standardised features on the device, with the machine index of every clip."""

    features: Float[Array, "clip time mel"]
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
    for item in read_all(paths, frontend.sample_rate):
        batch.append(item)
        if len(batch) == CLIPS_PER_BATCH:
            yield from _log_mels(batch, frontend)
            batch = []
    yield from _log_mels(batch, frontend)


def _log_mels(batch, frontend: Frontend):
    clips = [samples for _, samples in batch if not isinstance(samples, UserError)]
    second = frontend.sample_rate
    longest = max((-(-len(samples) // second) * second for samples in clips), default=second)
    padded = np.zeros((CLIPS_PER_BATCH, longest), np.float32)
    for row, samples in zip(padded, clips, strict=False):
        row[: len(samples)] = samples
    log_mels = iter(np.asarray(log_mel_batch(padded, frontend)) if clips else ())
    for path, samples in batch:
        if isinstance(samples, UserError):
            yield path, samples
        else:
            yield path, next(log_mels)[: frontend.n_frames(len(samples))]


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
    n_frames = np.array([len(log_mel) for log_mel in log_mels], np.int32)
    padded = np.zeros((len(log_mels), max(n_frames, default=0), frontend.n_mels), np.float32)
    for row, log_mel in zip(padded, log_mels, strict=True):
        row[: len(log_mel)] = log_mel
    return Features(padded, n_frames)


def cached_features(paths: Sequence[Path], frontend: Frontend, cache: Path) -> Features:
    """`compute_features`, kept in `cache` under a key of files, sizes, times and settings.

    A cache that cannot be written costs a warning, nothing else.
    """
    stats = [(str(path.resolve()), path.stat()) for path in paths]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    key = hashlib.sha256(json.dumps([FORMAT, frontend, files]).encode()).hexdigest()[:32]
    path = cache / "features" / f"{key}.npz"
    if path.exists():
        with np.load(path) as stored:
            return Features(stored["log_mel"], stored["n_frames"])
    features = compute_features(paths, frontend)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            np.savez(file, log_mel=features.log_mel, n_frames=features.n_frames)
        os.replace(file.name, path)
    except OSError as error:
        warnings.warn(f"features are not cached: {error}", stacklevel=2)
    return features


def source_features(source: Source, frontend: Frontend, cache: Path) -> dict[str, Features]:
    """Features of every split.

    All files are read in one go, so that one error lists every bad recording.
    """
    paths = [clip.path for clips in source.splits.values() for clip in clips]
    log_mel, n_frames = cached_features(paths, frontend, cache)
    ends = np.cumsum([len(clips) for clips in source.splits.values()])
    return {
        split: Features(log_mel[end - len(clips) : end], n_frames[end - len(clips) : end])
        for (split, clips), end in zip(source.splits.items(), ends, strict=True)
    }


def make_bank(
    features: Features, machine: Int[np.ndarray, " clip"], statistics: Standardisation
) -> Bank:
    """Places the standardised features of a split on the device."""
    return Bank(
        jnp.asarray(standardise(features.log_mel, statistics)),
        jnp.asarray(features.n_frames),
        jnp.asarray(machine),
    )


def draw_patches(
    bank: Bank, key: PRNGKeyArray, batch_size: int, length: int
) -> tuple[Float[Array, "batch length mel 1"], Int[Array, " batch"]]:
    """Draws patches from random clips at random offsets, on the device.

    Returns:
        The patches and the machine index of each.
    """
    clip_key, start_key = jax.random.split(key)
    clip = jax.random.randint(clip_key, (batch_size,), 0, len(bank.machine))
    room = jnp.maximum(bank.n_frames[clip] - length, 0) + 1
    start = jax.random.randint(start_key, (batch_size,), 0, room)
    patches = take_patches(bank.features, bank.n_frames, clip, start, length)
    return patches[..., None], bank.machine[clip]
