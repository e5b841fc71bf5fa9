"""Regions: the few rectangles of a time-frequency map that hold most of it, and their words."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import find_objects, label

HELD = 0.5  # share of all that raises the score which the chosen cells hold
MOST = 3  # regions
WHOLE = 0.95  # of the clip; what lasts longer is said to last throughout

Map = Float[np.ndarray, "time band"]


class Region(NamedTuple):
    """A rectangle of time and frequency.

    Attributes:
        start: Begin, in seconds.
        end: End, in seconds.
        low: Lower edge, in Hz, or the number of a band.
        high: Upper edge.
        decibels: How far its mean level lies above the normal level of its bands, in dB.
        share: Its part of all that raises the score, from 0 to 1.
        words: The same in words.
    """

    start: float
    end: float
    low: float
    high: float
    decibels: float
    share: float
    words: str


def find_regions(
    cells: Map,
    departure: Map,
    time_edges: Float[np.ndarray, " time_edge"],
    band_edges: Float[np.ndarray, " band_edge"],
    unit: str = "Hz",
) -> tuple[Region, ...]:
    """Finds at most three rectangles, the one with the largest share first.

    The strongest cells are chosen until they hold half of the positive total. Chosen cells that
    touch, also at a corner, are one group. The regions are the bounding boxes of the groups with
    the largest sums; a box that meets one with a larger sum is left out.

    Args:
        cells: How much every cell raises the score.
        departure: How far every cell lies above its normal level, in dB.
        time_edges: Edges of the times in seconds, one more than there are.
        band_edges: Edges of the bands in Hz, one more than there are.
        unit: Unit of these edges; without one they are numbers of bands.
    """
    raising = np.maximum(cells, 0.0)
    total = raising.sum()
    if not total > 0:
        return ()
    falling = np.sort(raising, axis=None)[::-1]
    least = falling[np.searchsorted(np.cumsum(falling), HELD * total)]
    groups = np.zeros(raising.shape, np.int32)
    label(raising >= max(least, np.finfo(float).tiny), np.ones((3, 3)), output=groups)
    sums = np.bincount(groups.ravel(), raising.ravel())[1:]
    boxes, found = find_objects(groups), []
    for i in np.argsort(-sums, kind="stable"):
        box = boxes[i]
        if len(found) < MOST and not any(_meet(box, other) for other in found):
            found.append(box)
    regions = []
    for times, bands in found:
        start, end = time_edges[[times.start, times.stop]].tolist()
        low, high = band_edges[[bands.start, bands.stop]].tolist()
        up, share = departure[times, bands].mean(), raising[times, bands].sum() / total
        words = f"{_frequencies(low, high, unit)}, {_times(start, end, time_edges)}, {_level(up)}"
        regions.append(Region(start, end, low, high, float(up), float(share), words))
    return tuple(sorted(regions, key=lambda region: -region.share))


def _meet(one: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _frequencies(low: float, high: float, unit: str) -> str:
    if not unit:
        return f"bands {low:.0f}-{high - 1:.0f}"
    if round(high) < 1000:
        return f"{low:.0f}-{high:.0f} Hz"
    return f"{low / 1000:.1f}-{high / 1000:.1f} kHz"


def _times(start: float, end: float, edges: Float[np.ndarray, " time_edge"]) -> str:
    if end - start >= WHOLE * (edges[-1] - edges[0]):
        return "throughout"
    return f"{start:.1f} s to {end:.1f} s"


def _level(decibels: float) -> str:
    size = round(abs(decibels))
    if size == 0:
        return "at the normal level on average"
    return f"{size} dB {'above' if decibels > 0 else 'below'} normal"
