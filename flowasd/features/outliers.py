"""What to doubt before training, and what sounds unlike the training clips.

Doubts of training clips come from their features alone, and no recording is decoded for them.
`flowasd.data.check` looks into the recordings themselves, and finds more.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from flowasd.data.clips import Clip
from flowasd.data.layouts.layout import some
from flowasd.features.cache import Features
from flowasd.features.compute import CLIPS_PER_BATCH, compute_bands
from flowasd.features.frontend import EDGES, FrontendConfig, Standardisation

FAR = 10.0  # times the spread; real and simulated clips stay below 5
SPREAD_FLOOR = 1.0  # dB; clips of a very steady machine may differ by so much
FEWEST = 5  # clips that have a spread
ABOVE = 6.0  # dB above the noise of rounding to 16 bits; real recordings are 12 dB above it

HIGH = 0.8  # of the highest frequency; above it a recording of a lower rate is empty
EMPTY = 20.0  # dB below the other bands; real clips stay within 9, upsampled ones are beyond 29


def training_doubts(
    clips: Sequence[Clip], features: Features, frontend: FrontendConfig
) -> Iterator[str]:
    """Says what is odd about training clips, though nothing stops training.

    Args:
        clips: Clips of all machines.
        features: Their features.
        frontend: Settings of the front-end.

    Yields:
        A line for each doubt: clips far from the others of their machine, clips without the high
        tones that the others have, recordings that are there twice, bands without sound.
    """
    levels = np.array([features.clip(i).mean(0) for i in range(len(clips))])
    ids = np.array([clip.machine_id for clip in clips])
    for machine_id in sorted({*ids.tolist()}):
        own = np.flatnonzero(ids == machine_id).tolist()
        if len(own) >= FEWEST:
            mine = [clips[i] for i in own]
            yield from unlike_others(mine, levels[own])
            yield from _narrow(mine, levels[own], frontend)
    yield from _repeated(clips, features)
    if count := _count_silent(levels, frontend):
        yield (
            f"{count} of {frontend.n_bands} bands hold no sound in any training clip, and every "
            "sound there will be an anomaly; python -m flowasd.data.check says where they are"
        )


def unlike_others(clips: Sequence[Clip], levels: Float[np.ndarray, "clip band"]) -> Iterator[str]:
    """Names the clips that lie far from the others.

    The distance is that of the mean level of every band from its median over the clips, in units of
    their spread (median absolute deviation), root mean square over bands.

    Args:
        clips: Clips of one machine.
        levels: Mean level of every band in dB.

    Yields:
        A line for each such clip.
    """
    away = levels - np.median(levels, 0)
    spread = np.maximum(1.4826 * np.median(np.abs(away), 0), SPREAD_FLOOR)
    distance = np.sqrt(((away / spread) ** 2).mean(1))
    for i in np.flatnonzero(distance > FAR).tolist():
        yield (
            f"{clips[i].path}: lies {distance[i]:.0f} times as far from the other training clips "
            f"of {clips[i].machine_id} as they spread; leave it out if it is no such clip"
        )


def _narrow(
    clips: Sequence[Clip], levels: Float[np.ndarray, "clip band"], frontend: FrontendConfig
) -> Iterator[str]:
    usual = np.median(levels, 0)
    for clip, own in zip(clips, levels, strict=True):
        if edge := _empty_above(usual - own, frontend):
            yield (
                f"{clip.path}: has no sound above {edge}, unlike the other training clips of "
                f"{clip.machine_id}; leave it out if it was recorded at a lower rate"
            )


def _repeated(clips: Sequence[Clip], features: Features) -> Iterator[str]:
    same: dict[str, list[str]] = defaultdict(list)
    for clip, recording in zip(clips, features.recordings, strict=True):
        same[recording].append(str(clip.path))
    for paths in same.values():
        if len(paths) > 1:
            yield (
                f"{len(paths)} training clips are the same recording, which counts so often: "
                f"{some(paths)}; remove all but one"
            )


def _count_silent(levels: Float[np.ndarray, "clip band"], frontend: FrontendConfig) -> int:
    """Counts the bands in which no clip has more than the noise of rounding to 16 bits."""
    if (levels.std(0) > SPREAD_FLOOR).all():  # which saves hearing that noise
        return 0
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * frontend.sample_rate) / 2**15
    (heard,) = compute_bands([noise.astype(np.float32)], frontend, CLIPS_PER_BATCH)
    return int((levels.max(0) < heard.mean(0) + ABOVE).sum())


def lost_highs(
    bands: Float[np.ndarray, "time band"], statistics: Standardisation, frontend: FrontendConfig
) -> str | None:
    """Says that a clip has nothing in its highest bands, where the training clips have sound.

    It was then recorded at a lower rate and upsampled, or through a filter. A softer recording
    lacks something in every band, and is not meant.

    Args:
        bands: Its bands in dB.
        statistics: Those of the training clips.
        frontend: Settings of the front-end; one without frequencies tells nothing.

    Returns:
        The reason to doubt its score; `None` if there is none.
    """
    edge = _empty_above(statistics.mean - bands.mean(0), frontend)
    return edge and (
        f"has no sound above {edge}, unlike the training clips; its score may tell of the recorder "
        "and not of the machine"
    )


def _empty_above(below: Float[np.ndarray, " band"], frontend: FrontendConfig) -> str | None:
    """The frequency above which nothing is left, by how far below others the bands are in dB."""
    high, edge = _high_bands(frontend)
    if high.all() or not high.any():
        return None
    least, others = below[high].min(), below[~high]
    # The minimum is at most the median, and is found sooner. It settles most clips.
    if least - others.min() < EMPTY or least - np.median(others) < EMPTY:
        return None
    return f"{edge / 1000:.1f} kHz"


@cache
def _high_bands(frontend: FrontendConfig) -> tuple[Bool[np.ndarray, " band"], float]:
    """Returns which bands are high, and the lowest frequency of these in Hz.

    A front-end without frequencies has no high band.
    """
    if frontend.name not in EDGES:
        return np.zeros(frontend.n_bands, bool), 0.0
    edges = EDGES[frontend.name](frontend)[:-1]
    high = edges >= HIGH * frontend.sample_rate / 2
    return high, float(edges[high].min(initial=frontend.sample_rate))
