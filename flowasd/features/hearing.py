"""Recordings as the front-end hears them: samples, bands, and a digest that tells them apart."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from flowasd.data.audio import read_audio, read_each
from flowasd.data.measurement import digest
from flowasd.data.source import DataConfig
from flowasd.data.suspicious import Suspicious, suspicion
from flowasd.errors import UserError
from flowasd.features.compute import CLIPS_PER_BATCH, Bands, compute_bands, is_long
from flowasd.features.frontend import FrontendConfig

Samples = Float[np.ndarray, " _"] | UserError  # of a recording, or why it has none

ANY = DataConfig()  # the limits of recordings that belong to no run


class Heard(NamedTuple):
    """A recording as the front-end hears it.

    Attributes:
        bands: Its bands in dB.
        samples: Its samples at the front-end's rate.
    """

    bands: Bands
    samples: Float[np.ndarray, " samples"]

    @property
    def recording(self) -> str:
        """Digest of its samples, the same for every file that decodes to them."""
        return digest(self.samples)


def hear(
    paths: Sequence[Path], frontend: FrontendConfig, data: DataConfig = ANY
) -> Iterator[tuple[Path, Heard | UserError]]:
    """Decodes files, in threads, and computes their bands as `hear_samples` does."""

    def read(path: Path) -> Samples:
        samples = read_audio(path, frontend.sample_rate, data.max_clip_seconds, data.channel)
        return _checked(path, samples, frontend, data)

    return _hear(read_each(read, paths), frontend)


def hear_samples(
    clips: Iterable[tuple[Path, Samples]], frontend: FrontendConfig, data: DataConfig = ANY
) -> Iterator[tuple[Path, Heard | UserError]]:
    """Computes the bands of clips, a batch at a time.

    Args:
        clips: The name of every clip, with its samples at the front-end's rate or with an error.
        frontend: Settings of the front-end.
        data: Says whether suspicious recordings are heard like others.

    Yields:
        Every name with what was heard, or with the error, in order.
    """
    checked = ((name, _checked(name, samples, frontend, data)) for name, samples in clips)
    return _hear(checked, frontend)


def hear_all(
    paths: Sequence[Path], frontend: FrontendConfig, data: DataConfig = ANY
) -> Iterator[Heard]:
    """Yields what `hear` hears of files that must all be readable.

    Raises:
        UserError: The error of the first file that is not.
    """
    heard = hear(paths, frontend, data)
    for _, result in tqdm(heard, "hear", len(paths), unit="file", disable=None):
        if isinstance(result, UserError):
            raise result
        yield result


def _checked(name: Path, samples: Samples, frontend: FrontendConfig, data: DataConfig) -> Samples:
    """Returns the samples, or the error that the recording cannot be judged."""
    if isinstance(samples, UserError) or data.suspicious == "keep":
        return samples
    problem = suspicion(samples, frontend.n_fft)
    # An error that was raised would keep the samples alive, by its traceback.
    return Suspicious(f"{name}: {problem}") if problem else samples


def _hear(
    clips: Iterable[tuple[Path, Samples]], frontend: FrontendConfig
) -> Iterator[tuple[Path, Heard | UserError]]:
    batch: list[tuple[Path, Samples]] = []
    for path, samples in clips:
        long = not isinstance(samples, UserError) and is_long(samples, frontend)
        batch.append((path, samples))
        del samples  # a long clip must go before the next one comes
        if long or len(batch) == CLIPS_PER_BATCH:
            heard, batch = _heard(batch, frontend), []
            while heard:  # what is handed out is not kept here
                yield heard.popleft()
    yield from _heard(batch, frontend)


def _heard(
    batch: Sequence[tuple[Path, Samples]], frontend: FrontendConfig
) -> deque[tuple[Path, Heard | UserError]]:
    clips = [samples for _, samples in batch if not isinstance(samples, UserError)]
    computed = iter(compute_bands(clips, frontend, CLIPS_PER_BATCH) if clips else ())
    heard: deque[tuple[Path, Heard | UserError]] = deque()
    for path, samples in batch:
        if isinstance(samples, UserError):
            heard.append((path, samples))
            continue
        frames = next(computed)
        if np.isfinite(frames).all():
            heard.append((path, Heard(frames, samples)))
        else:
            heard.append((path, UserError(f"{path}: samples are too large to be audio")))
    return heard
