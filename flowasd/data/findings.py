"""What is wrong with the clips of a machine type, of which everything has been measured.

Every finding either stops training with the default settings, or is worth a look.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from flowasd.data.clips import Clip, Dataset
from flowasd.data.dataset import join, problems
from flowasd.data.layouts.layout import Misnamed
from flowasd.data.measurement import EDGES, RATE, Measurement
from flowasd.data.parts import Part
from flowasd.data.source import DataConfig
from flowasd.data.splits import split_clips
from flowasd.errors import UserError

FEWEST = 5  # clips of a machine that can be compared
FAR = 20.0  # dB between the levels of one machine's clips; real clips stay within 10
CLIPPED = 0.001  # share of the samples
OFFSET = 1.0  # deviations from 0

HIGH = EDGES[:-1] >= 0.8 * RATE / 2  # where a recording of a lower rate is empty
# experiments/doubts measures what real and upsampled recordings have.
LOST = 20.0  # dB of `depth` in all bands of `HIGH`
FLOOR = -98.0  # dB, twice the noise of rounding to 16 bits

Measured = Mapping[Path, Measurement | UserError]


class Finding(NamedTuple):
    """Something that is wrong.

    Attributes:
        kind: What it is, in a word.
        refused: Whether training refuses the data set for it.
        paths: The files; none if it is no matter of single ones.
        text: What is wrong, and what to do.
    """

    kind: str
    refused: bool
    paths: tuple[Path, ...]
    text: str


def find_all(parts: Sequence[Part], place: Path, measured: Measured) -> list[Finding]:
    """Finds what is wrong with a data set.

    Args:
        parts: What it is joined of.
        place: Where all of it is.
        measured: The measurement of every clip, or its error.

    Returns:
        What training refuses, then what it does not.
    """
    dataset = join([part.used for part in parts])
    clips = [*dataset.train, *dataset.test]
    good = {
        clip: own
        for clip in clips
        if isinstance(own := measured[clip.path], Measurement) and own.suspicion is None
    }
    found = [
        *_of_names(parts),
        *_of_splits(parts, dataset, place),
        *_unusable(dataset, measured),
        *_duplicates(parts, dataset, good),
        *_of_samples(good),
        *_of_rates(good),
        *_of_levels(good),
        *_of_bands(good, place),
    ]
    return sorted(found, key=lambda finding: not finding.refused)


def _of_names(parts: Sequence[Part]) -> Iterator[Finding]:
    for error in (part.unread for part in parts):
        if error is not None:
            paths = tuple(error.paths) if isinstance(error, Misnamed) else ()
            yield Finding("names", True, paths, str(error))


def _of_splits(parts: Sequence[Part], dataset: Dataset, place: Path) -> Iterator[Finding]:
    """Yields what training says of every part that it trains on, and of all clips together."""
    if all(part.unread is None or isinstance(part.unread, Misnamed) for part in parts):
        checked = [(part.dataset, part.folder) for part in parts if "train" in part.splits]
        texts = (text for own in (*checked, (dataset, place)) for text in problems(*own))
        yield from (Finding("split", True, (), text) for text in dict.fromkeys(texts))


def _unusable(dataset: Dataset, measured: Measured) -> Iterator[Finding]:
    """Yields clips that cannot be decoded or judged; of a test set, training leaves them out."""
    bad: dict[Path, tuple[str, str]] = {}
    for path in (clip.path for clip in (*dataset.train, *dataset.test)):
        own = measured[path]
        if isinstance(own, UserError):
            bad[path] = ("unreadable", str(own))
        elif own.suspicion is not None:
            bad[path] = ("suspicious", f"{path}: {own.suspicion}")
    tested = {clip.path for clip in dataset.test}
    left_out = bad.keys() & tested if tested - bad.keys() else set()
    for path, (kind, text) in bad.items():
        end = "; training leaves it out of the test" if path in left_out else ""
        yield Finding(kind, path not in left_out, (path,), text + end)


def _duplicates(
    parts: Sequence[Part], dataset: Dataset, good: Mapping[Clip, Measurement]
) -> Iterator[Finding]:
    """Yields recordings that are there more than once, by the splits of the default settings."""
    if not dataset.train:
        splits = {"test": dataset.test}
    else:
        data = DataConfig()
        held_out = 0.0 if dataset.test else data.test
        try:
            own = split_clips(dataset.train, 0, data.validation, held_out, data.calibration)
        except UserError as error:
            yield Finding("split", True, (), str(error))
            own = {"train": dataset.train}
        splits = {"test": dataset.test} | own
    named = [part for part in parts if part.name]
    origin = {c: f" of {p.name}" for p in named for c in (*p.used.train, *p.used.test)}
    same: dict[str, list[tuple[Clip, str]]] = defaultdict(list)
    for split, clips in splits.items():
        for clip in clips:
            if clip in good:
                same[good[clip].recording].append((clip, split))
    for copies in same.values():
        if len(copies) > 1:
            names = " and ".join(f"{c.path} ({split}{origin.get(c, '')})" for c, split in copies)
            apart = len({split for _, split in copies}) > 1
            then = "remove one of them" if apart else "it counts more than once"
            paths = tuple(clip.path for clip, _ in copies)
            yield Finding("duplicate", apart, paths, f"{names} are the same recording; {then}")


def _of_samples(good: Mapping[Clip, Measurement]) -> Iterator[Finding]:
    """Yields what a clip alone tells."""
    for clip, own in good.items():
        if own.dead:
            numbers = ", ".join(map(str, own.dead))
            text = f"no signal in channel {numbers} of {own.channels}, counted from 0"
            yield _doubt("dead", clip, f"{text}; do not read it (config.data.channel)")
        if own.clipped > CLIPPED:
            share = f"{100 * own.clipped:.1f} % of the samples of a channel are cut off at its peak"
            yield _doubt("clipped", clip, f"{share}; record it with less gain")
        if own.offset > OFFSET:
            text = f"its mean is {own.offset:.1f} times its deviation away from 0"
            yield _doubt("offset", clip, f"{text}; look at the converter, or filter it out")


def _of_rates(good: Mapping[Clip, Measurement]) -> Iterator[Finding]:
    usual = _usual_rate(good)
    for clip, own in good.items():
        if own.rate < usual:
            text = f"has a rate of {own.rate} Hz, and most clips have {usual} Hz"
            yield _doubt("rate", clip, f"{text}; it has no sound above {own.rate / 2000:g} kHz")


def _usual_rate(good: Mapping[Clip, Measurement]) -> int:
    """The rate of most clips; 0 if there are none."""
    rates = Counter(own.rate for own in good.values()).most_common(1)
    return rates[0][0] if rates else 0


def _of_levels(good: Mapping[Clip, Measurement]) -> Iterator[Finding]:
    for machine_id, clips in _machines(good).items():
        away = np.array([good[clip].level for clip in clips])
        away -= np.median(away)
        for i in np.flatnonzero(np.abs(away) > FAR).tolist():
            side = "above" if away[i] > 0 else "below"
            text = f"its level is {abs(away[i]):.0f} dB {side} that of the other clips"
            yield _doubt("level", clips[i], f"{text} of {machine_id}; was it scaled or exported?")


def _of_bands(good: Mapping[Clip, Measurement], place: Path) -> Iterator[Finding]:
    """Yields bands without sound: of all clips, then of single ones where the others have some."""
    if not good:
        return
    clips = [*good]
    bands = np.stack([own.bands for own in good.values()])
    silent = bands < FLOOR
    always = np.asarray(silent.all(0))
    if always.any():
        edges = ", ".join(f"{low / 1000:g} to {high / 1000:g} kHz" for low, high in _ranges(always))
        text = f"{place}: no clip has any sound from {edges}; were they recorded at a lower rate?"
        yield Finding("bands", False, (), text)
    lost, row_of = silent & ~always, {clip: i for i, clip in enumerate(clips)}
    for own in _machines(good).values():
        rows = [row_of[clip] for clip in own]
        lost[rows] |= depth(bands[rows]) > LOST
    usual = _usual_rate(good)
    for clip, row in zip(clips, lost | always, strict=True):
        named = good[clip].rate < usual  # for its rate
        if row[HIGH].all() and not always[HIGH].all() and not named:
            first = len(row) - int(np.argmin(row[::-1])) if not row.all() else 0
            text = f"has no sound above {EDGES[first] / 1000:g} kHz, and other clips have some"
            yield _doubt("highs", clip, f"{text}; was it recorded at a lower rate?")


def depth(bands: Float[np.ndarray, "clip band"]) -> Float[np.ndarray, "clip band"]:
    """Returns how far clips of one machine are below their median in dB.

    It counts from the lower quartile over the bands that are not `HIGH`, so that a softer
    recording is not deeper.
    """
    below = np.median(bands, 0) - bands
    return below - np.quantile(below[:, ~HIGH], 0.25, 1, keepdims=True)


def _machines(good: Mapping[Clip, Measurement]) -> dict[str, Sequence[Clip]]:
    """The clips of every machine that has enough of them to compare."""
    machines: dict[str, list[Clip]] = defaultdict(list)
    for clip in good:
        machines[clip.machine_id].append(clip)
    return {machine_id: own for machine_id, own in machines.items() if len(own) >= FEWEST}


def _ranges(bands: Bool[np.ndarray, " band"]) -> list[tuple[float, float]]:
    """Lowest and highest frequency of every row of neighbouring bands."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], bands, [0]])))
    return [(float(EDGES[low]), float(EDGES[high])) for low, high in ends.reshape(-1, 2)]


def _doubt(kind: str, clip: Clip, text: str) -> Finding:
    return Finding(kind, False, (clip.path,), f"{clip.path}: {text}")
