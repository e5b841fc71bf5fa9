"""What sounds unlike the rest: a training clip among its machine's, a clip without high tones."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from flowasd.data.clips import Clip
from flowasd.features.cache import Features
from flowasd.features.frontend import EDGES, FrontendConfig, Standardisation

FAR = 10.0  # times the spread; real and simulated clips stay below 5
SPREAD_FLOOR = 1.0  # dB; clips of a very steady machine may differ by so much
FEWEST = 5  # clips that have a spread

HIGH = 0.8  # of the highest frequency; above it a recording of a lower rate is empty
EMPTY = 20.0  # dB below the other bands; real clips stay within 9, upsampled ones are beyond 29


def unlike_others(clips: Sequence[Clip], features: Features) -> Iterator[str]:
    """Names the clips that lie far from the others of their machine.

    The distance is that of the mean level of every band from its median over the machine's clips,
    in units of their spread (median absolute deviation), root mean square over bands.

    Args:
        clips: Clips of all machines.
        features: Their features.

    Yields:
        A line for each such clip.
    """
    levels = np.array([features.clip(i).mean(0) for i in range(len(clips))])
    ids = np.array([clip.machine_id for clip in clips])
    for machine_id in sorted({*ids.tolist()}):
        own = np.flatnonzero(ids == machine_id)
        away = levels[own] - np.median(levels[own], 0)
        spread = np.maximum(1.4826 * np.median(np.abs(away), 0), SPREAD_FLOOR)
        distance = np.sqrt(((away / spread) ** 2).mean(1))
        for i in np.flatnonzero((distance > FAR) & (len(own) >= FEWEST)):
            yield (
                f"{clips[own[i]].path}: lies {distance[i]:.0f} times as far from the other "
                f"training clips of {machine_id} as they spread; leave it out if it is no such clip"
            )


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
    if frontend.name not in EDGES:
        return None
    edges = EDGES[frontend.name](frontend)[:-1]
    high = edges >= HIGH * frontend.sample_rate / 2
    below = statistics.mean - bands.mean(0)
    if high.all() or not high.any() or below[high].min() - np.median(below[~high]) < EMPTY:
        return None
    return (
        f"has no sound above {edges[high][0] / 1000:.1f} kHz, unlike the training clips; its score "
        "may tell of the recorder and not of the machine"
    )
