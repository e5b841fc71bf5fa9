"""The figures of alarms: false ones on normal streams, and true ones after a change."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.alarm.recorded import AFTER, Delay
from experiments.alarm.simulated import NEVER, Alarms

EARLY = 100  # clips


class FalseAlarms(NamedTuple):
    """How often SIMULATED normal streams raise an alarm.

    Attributes:
        reference: What a score is ranked among.
        normal: Calibration clips.
        every: `--false_alarm_every`.
        clips: Length of a stream.
        early: Share of the streams with an alarm within `EARLY` clips.
        early_bound: The bound of it.
        ever: Share of the streams with an alarm.
        ever_bound: The bound of it.
        alarms: Mean number of alarms of a stream.
        alarms_bound: The number of alarms that one in `every` clips would be.
    """

    reference: str
    normal: int
    every: int
    clips: int
    early: float
    early_bound: float
    ever: float
    ever_bound: float
    alarms: float
    alarms_bound: float


class Delays(NamedTuple):
    """How soon after a change an alarm comes.

    Attributes:
        config: Name of the config.
        machine_id: The machine.
        every: `--false_alarm_every`.
        fold: Number of the fold, or `all`.
        seed: Seed of the run, or `all`.
        median: Median number of clips until the alarm, infinite if there is none in time.
        q90: The 90 % quantile of it.
        never: Share of the streams without an alarm within `AFTER` clips.
        false_alarms: False alarms before the change, for each normal clip.
    """

    config: str
    machine_id: str
    every: int
    fold: str
    seed: str
    median: float
    q90: float
    never: float
    false_alarms: float


def false_alarms_of(
    alarms: Alarms, reference: str, normal: int, every: int, clips: int
) -> FalseAlarms:
    """The figures of some normal streams."""
    first, count = alarms
    early, ever = (float(np.mean((first != NEVER) & (first <= t))) for t in (EARLY, clips))
    bounds = [min(1.0, t / every) for t in (EARLY, clips)]
    mean, most = float(count.mean()), clips / every
    return FalseAlarms(
        reference, normal, every, clips, early, bounds[0], ever, bounds[1], mean, most
    )


def summary(found: Sequence[Delay]) -> tuple[float, float, float, float]:
    """The last four figures of `Delays`."""
    late = np.array([np.inf if d.clips == NEVER else d.clips for d in found])
    median, q90 = np.quantile(late, [0.5, 0.9], method="higher").tolist()
    false_alarms = sum(d.false_alarms for d in found) / sum(d.normal_clips for d in found)
    return median, q90, float(np.isinf(late).mean()), false_alarms


def false_alarms_table(rows: Sequence[FalseAlarms]) -> str:
    """A table of false alarms, as Markdown."""
    lines = [
        "| reference | calibration clips | `--false_alarm_every` | an alarm within "
        f"{EARLY} clips, % of streams (bound) | within {rows[0].clips} clips (bound) | alarms a "
        "stream (one in so many clips) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {r.reference} | {r.normal} | {r.every} "
        f"| {_percent(r.early)} ({_percent(r.early_bound)}) "
        f"| {_percent(r.ever)} ({_percent(r.ever_bound)}) | {r.alarms:.2f} ({r.alarms_bound:g}) |"
        for r in rows
    ]
    return "\n".join(lines)


def delays_table(rows: Sequence[Delays]) -> str:
    """A table of the delays of all runs of a machine ID together, as Markdown."""
    lines = [
        "| config | machine ID | `--false_alarm_every` | clips until the alarm, median | 90 % "
        f"quantile | no alarm within {AFTER} clips, % | false alarms, % of normal clips |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {r.config} | {r.machine_id} | {r.every} | {_clips(r.median)} | {_clips(r.q90)} "
        f"| {_percent(r.never)} | {100 * r.false_alarms:.2f} |"
        for r in rows
        if r.fold == "all"
    ]
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _clips(count: float) -> str:
    return f"more than {AFTER}" if np.isinf(count) else f"{count:g}"
