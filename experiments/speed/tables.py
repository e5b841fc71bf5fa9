"""Medians, ratios with their spread, and the table and file that they end in."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One figure, beside a peer's where there is one.

    Attributes:
        name: What was measured.
        ours: Our median.
        unit: Unit of both.
        peer: The peer's median.
        peer_name: Who the peer is.
        ratio: How many times better than the peer's our figure is: the median over rounds of the
            ratio within a round, so that what slows the whole machine for a while cancels out.
        spread: Quartiles of that ratio over the rounds.
    """

    name: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None


def rate_row(
    name: str, seconds: Mapping[str, Sequence[float]], peer: str, amount: float, unit: str
) -> Row:
    """A row of rates from the seconds that an amount of work took us and a peer in every round."""
    ours, theirs = np.array(seconds["flowasd"]), np.array(seconds[peer])
    low, ratio, high = np.quantile(theirs / ours, (0.25, 0.5, 0.75)).tolist()
    rates = [float(amount / np.median(side)) for side in (ours, theirs)]
    return Row(name, rates[0], unit, rates[1], peer, ratio, (low, high))


def seconds_row(name: str, seconds: Mapping[str, Sequence[float]], peer: str) -> Row:
    """The same with times instead of rates."""
    rate = rate_row(name, seconds, peer, 1.0, "s")
    ours, theirs = (float(np.median(seconds[side])) for side in ("flowasd", peer))
    return rate._replace(ours=ours, peer=theirs)


def best_peer(seconds: Mapping[str, Sequence[float]]) -> str | None:
    """The fastest side that is not us; none where no peer is installed."""
    peers = {name: np.median(values) for name, values in seconds.items() if name != "flowasd"}
    return min(peers, key=lambda name: peers[name], default=None)


def best_peer_row(
    name: str, seconds: Mapping[str, Sequence[float]], amount: float, unit: str
) -> Row:
    """Our rate beside the best peer's; ours alone where there is no peer."""
    if best := best_peer(seconds):
        return rate_row(name, seconds, best, amount, unit)
    return Row(name, amount / float(np.median(seconds["flowasd"])), unit)


def table(rows: Iterable[Row]) -> str:
    """Markdown: a row a figure."""
    lines = ["| | flowasd | peer | unit | ratio (quartiles) |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        peer = "–" if row.peer is None else f"{row.peer:.4g} ({row.peer_name})"
        ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
        spread = "" if row.spread is None else f" ({row.spread[0]:.2f}–{row.spread[1]:.2f})"
        lines.append(f"| {row.name} | {row.ours:.4g} | {peer} | {row.unit} | {ratio}{spread} |")
    return "\n".join(lines)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes `results.json`: a list of objects, one a row."""
    path.write_text(json.dumps([row._asdict() for row in rows], indent=2) + "\n")
