"""The rates of alarms by the rate of false alarms that was asked for."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2)
CONFIDENCE = 0.95


class Decided(NamedTuple):
    """A test clip with its p-value; label 0 is normal, 1 anomalous."""

    config: str
    held_out: int
    fold: int
    seed: int
    machine_id: str
    label: int | None
    p_value: float


def counts(clips: Sequence[Decided]) -> Iterator[tuple[object, ...]]:
    """Yields a heading, and the alarms among the clips of every run, ID and label at every rate."""
    yield (*Decided._fields[:-1], "clips", *(f"alarms_{alpha:g}" for alpha in ALPHAS))
    groups: dict[tuple[object, ...], list[float]] = {}
    for clip in clips:
        groups.setdefault(clip[:-1], []).append(clip.p_value)
    for group, p_values in groups.items():
        alarms = (sum(p <= alpha for p in p_values) for alpha in ALPHAS)
        yield (*group, len(p_values), *alarms)


def table(clips: Sequence[Decided]) -> str:
    """Returns the rates of alarms in percent: of normal clips with an interval, and of anomalous.

    A rate is the mean over the seeds. Of all IDs it is the mean over the IDs.
    """
    heads = [f"{100 * alpha:g} %" for alpha in ALPHAS]
    lines = [
        f"| config | p-values | machine | clips | {' | '.join(heads)} |",
        "|" + "---|" * (4 + len(ALPHAS)),
    ]
    for config, held_out in dict.fromkeys((clip.config, clip.held_out) for clip in clips):
        own = [clip for clip in clips if (clip.config, clip.held_out) == (config, held_out)]
        kind = f"{held_out} clips held out" if held_out else "cross-fitted"
        ids = sorted({clip.machine_id for clip in own})
        for label, words in ((0, "normal"), (1, "anomalous")):
            for ids_of_row in [*([m] for m in ids), *([ids] if len(ids) > 1 else ())]:
                some = [c for c in own if c.label == label and c.machine_id in ids_of_row]
                name = ids_of_row[0] if len(ids_of_row) == 1 else "all"
                cells = [_cell(some, alpha, bool(label)) for alpha in ALPHAS]
                lines.append(f"| {config} | {kind} | {name} | {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(clips: Sequence[Decided], alpha: float, anomalous: bool) -> str:
    """The rate of alarms; for normal clips with its interval, clips of several seeds counted once.

    The interval is Clopper & Pearson's for the number of different clips.
    """
    rates = [
        np.mean([clip.p_value <= alpha for clip in clips if clip.machine_id == machine_id])
        for machine_id in {clip.machine_id for clip in clips}
    ]
    rate = float(np.mean(rates))
    if anomalous:
        return f"{100 * rate:.1f}"
    count = len(clips) / len({clip.seed for clip in clips})
    alarms, tail = rate * count, (1 - CONFIDENCE) / 2
    low = beta.ppf(tail, alarms, count - alarms + 1) if alarms > 0 else 0.0
    high = beta.ppf(1 - tail, alarms + 1, count - alarms) if alarms < count else 1.0
    return f"{100 * rate:.1f} [{100 * low:.1f}–{100 * high:.1f}]"
