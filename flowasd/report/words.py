"""Numbers and names as the report's tables and sentences have them."""

import math
from collections.abc import Iterator, Mapping, Sequence

from flowasd.evaluation.examples import ScoredClip

BLANK = ""


def percent(fraction: float) -> str:
    """Returns a fraction in percent, with one digit."""
    return f"{100 * fraction:.1f}"


def interval(bounds: tuple[float, float]) -> str:
    """Returns an interval in percent."""
    return "–".join(map(percent, bounds))


def count(number: int, noun: str) -> str:
    """Returns a number and a noun that goes with it."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def by_machine(clips: Sequence[ScoredClip]) -> dict[str, list[ScoredClip]]:
    """Returns the clips of every machine ID, sorted by ID."""
    ids = sorted({clip.machine_id for clip in clips})
    return {name: [clip for clip in clips if clip.machine_id == name] for name in ids}


def flatten(mapping: Mapping[str, object], prefix: str = "") -> Iterator[list[str]]:
    """Yields a row for each value; nested keys are joined by dots."""
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield [f"{prefix}{key}", text(value)]


def text(value: object) -> str:
    """Returns a value as a cell shows it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return str(value)
