"""Recordings as Python users give them: paths of files, or waveforms as arrays."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from jaxtyping import Float, Num

from flowasd.data.audio import check_length, find_audio
from flowasd.data.source import DataConfig
from flowasd.errors import UserError
from flowasd.features.frontend import FrontendConfig
from flowasd.features.hearing import ANY, Heard, hear, hear_samples

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
Waveforms = Num[np.ndarray, "clip sample"] | Num[np.ndarray, " sample"] | Sequence[np.ndarray]
Recordings = Paths | Waveforms


def hear_recordings(
    recordings: Recordings,
    frontend: FrontendConfig,
    sample_rate: int | None,
    data: DataConfig = ANY,
) -> list[tuple[Path, Heard]]:
    """Returns the name of every recording and what the front-end hears.

    The name of a file is its path. Waveforms are named by their number.

    Args:
        recordings: Files or waveforms.
        frontend: Settings of the front-end.
        sample_rate: Rate of waveforms in Hz; by default that of the front-end.
        data: Says which recordings are too long or suspicious.

    Raises:
        UserError: If a recording cannot be used; the message names it.
    """
    paths = paths_of(recordings)
    if paths is not None and sample_rate is not None:
        raise UserError("a file says its own sample_rate; give it for waveforms only")
    heard = (
        hear(paths, frontend, data)
        if paths is not None
        else hear_samples(_waveforms(recordings, sample_rate, frontend, data), frontend, data)
    )
    kept = []
    for name, result in heard:
        if isinstance(result, UserError):
            raise result
        kept.append((name, result))
    return kept


def paths_of(recordings: Recordings) -> list[Path] | None:
    """Returns the paths of files; `None` if the recordings are waveforms.

    Raises:
        UserError: If a folder or a glob matches no audio file.
    """
    if isinstance(recordings, str | PathLike):
        return find_audio([str(Path(recordings).expanduser())])
    if isinstance(recordings, np.ndarray) and recordings.dtype.kind not in "UO":
        return None
    if not all(isinstance(one, str | PathLike) for one in recordings):
        return None
    return [Path(str(one)).expanduser() for one in recordings]


def files_of(recordings: Recordings) -> list[Path]:
    """Returns the paths of files.

    Raises:
        UserError: As `paths_of` does, or if the recordings are waveforms.
    """
    paths = paths_of(recordings)
    if paths is None:
        raise UserError("these recordings are not files; score takes waveforms")
    return paths


def ids_of(names: Sequence[Path], machine_ids: str | Sequence[str] | None) -> list[str] | None:
    """Returns the machine ID of every recording; `None` if none are given.

    Raises:
        UserError: If their number is not that of the recordings.
    """
    if machine_ids is None:
        return None
    ids = [machine_ids] * len(names) if isinstance(machine_ids, str) else [*machine_ids]
    if len(ids) != len(names):
        raise UserError(f"there are {len(names)} recordings and {len(ids)} machine_ids; give equal")
    return ids


def _waveforms(
    recordings: Any, sample_rate: int | None, frontend: FrontendConfig, data: DataConfig
) -> Iterator[tuple[Path, Float[np.ndarray, " samples"] | UserError]]:
    """Yields the name and the samples of every waveform, at the wanted rate."""
    wanted = frontend.sample_rate
    rate = wanted if sample_rate is None else sample_rate
    alone = isinstance(recordings, np.ndarray) and recordings.ndim == 1
    for i, own in enumerate([recordings] if alone else recordings):
        samples, name = np.asarray(own), Path(f"recordings[{i}]")
        try:
            if problem := _problem(samples):
                raise UserError(f"{name}: {problem}")
            check_length(name, len(samples), rate, data.max_clip_seconds)
        except UserError as error:
            yield name, error
            continue
        samples = samples.astype(np.float32)
        if rate != wanted:
            samples = soxr.resample(samples, rate, wanted, quality="HQ")
        yield name, samples


def _problem(samples: np.ndarray) -> str | None:
    if samples.ndim != 1 or not samples.size:
        return f"an array of shape {samples.shape}; give one channel, as samples in one dimension"
    if samples.dtype.kind != "f":
        return f"samples of type {samples.dtype}; give floats of ±1, such as int16 / 32768"
    return None if np.isfinite(samples).all() else "holds NaN or infinite samples"
