"""The figures of the DCASE challenge, as the organisers' evaluators of every edition define them.

| edition | rows | official score |
|---|---|---|
| 2020 | a machine ID | arithmetic means of AUC and of pAUC |
| 2021 | a section and domain | harmonic mean of all AUCs and pAUCs |
| 2022 to 2026 | a section | harmonic mean of source AUC, target AUC and pAUC of all sections |

From 2022 on, the AUC of a domain tells its normal clips from the anomalous clips of both domains,
and the pAUC is over both. Precision, recall and F1 are within a domain. To add an edition, write a
function like `table_2020` and add a line to `TABLES`.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flowasd.evaluation.metrics import areas

DOMAINS = ("source", "target")
DECIDED = ("precision", "recall", "F1 score")
LEAST = sys.float_info.epsilon  # stands for 0 in the organisers' harmonic means and quotients

Value = float | None  # None where there are no clips for it


class Judgement(NamedTuple):
    """A test clip, its true state and what was said of it.

    Attributes:
        group: The machine ID or section.
        domain: `"source"`, `"target"`, or None if unknown.
        label: 0 normal, 1 anomalous.
        score: Its score.
        alarm: Whether it was decided to be anomalous.
    """

    group: str
    domain: str | None
    label: int
    score: float
    alarm: bool


@dataclass(frozen=True)
class Table:
    """The figures of one machine type.

    Attributes:
        names: Headings of the columns that name a row.
        columns: Headings of the other columns.
        rows: The names and the figures of every row.
        counted: The columns of which the official score is the mean.
        harmonic: Whether that is the harmonic mean.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    rows: dict[tuple[str, ...], tuple[Value, ...]]
    counted: tuple[str, ...]
    harmonic: bool

    def values(self) -> list[float]:
        """Returns the figures that count; those for which there are no clips are left out."""
        places = [self.columns.index(name) for name in self.counted]
        return _there(row[place] for row in self.rows.values() for place in places)

    def score(self) -> Value:
        """Returns the official score; None if there is no figure that counts."""
        return (harmonic_mean if self.harmonic else arithmetic_mean)(self.values())

    def means(self, mean: Callable[[Sequence[float]], Value]) -> tuple[Value, ...]:
        """Returns a mean of every column."""
        return tuple(mean(_there(column)) for column in zip(*self.rows.values(), strict=True))


def arithmetic_mean(values: Sequence[float]) -> Value:
    """Returns the mean of some figures; None if there are none."""
    return float(np.mean(values)) if values else None


def harmonic_mean(values: Sequence[float]) -> Value:
    """Returns the harmonic mean of some figures, of which 0 counts as `LEAST`."""
    return float(1 / np.mean(1 / np.maximum(values, LEAST))) if values else None


def table_2020(clips: Sequence[Judgement]) -> Table:
    """AUC and pAUC of every machine ID."""
    rows = {(group,): _areas(_of(clips, group)) for group in _groups(clips)}
    return Table(("id",), ("AUC", "pAUC"), rows, ("AUC", "pAUC"), harmonic=False)


def table_2021(clips: Sequence[Judgement]) -> Table:
    """AUC, pAUC and decisions of every section and domain."""
    rows = {}
    for group in _groups(clips):
        for domain in DOMAINS:
            own = _of(clips, group, domain)
            rows[group, domain] = (*_areas(own), *_decided(own))
    columns = ("AUC", "pAUC", *DECIDED)
    return Table(("section", "domain"), columns, rows, ("AUC", "pAUC"), harmonic=True)


def table_2022(clips: Sequence[Judgement]) -> Table:
    """The AUC of both domains, the pAUC, and the decisions within a domain, of every section."""
    rows = {}
    for group in _groups(clips):
        own = _of(clips, group)
        aucs = [
            _areas([c for c in own if c.label == 1 or c.domain == domain])[0] for domain in DOMAINS
        ]
        decided = zip(*(_decided(_of(clips, group, domain)) for domain in DOMAINS), strict=True)
        rows[group,] = (*aucs, _areas(own)[1], *(value for both in decided for value in both))
    counted = (*(f"AUC ({domain})" for domain in DOMAINS), "pAUC")
    columns = (*counted, *(f"{name} ({domain})" for name in DECIDED for domain in DOMAINS))
    return Table(("section",), columns, rows, counted, harmonic=True)


TABLES: dict[int, Callable[[Sequence[Judgement]], Table]] = {
    2020: table_2020,
    2021: table_2021,
    2022: table_2022,
}


def _groups(clips: Sequence[Judgement]) -> list[str]:
    return sorted({clip.group for clip in clips})


def _of(clips: Sequence[Judgement], group: str, domain: str | None = None) -> list[Judgement]:
    return [c for c in clips if c.group == group and domain in (None, c.domain)]


def _areas(clips: Sequence[Judgement]) -> tuple[Value, Value]:
    """AUC and pAUC; None without normal or without anomalous clips."""
    labels = [clip.label for clip in clips]
    if {*labels} != {0, 1}:
        return None, None
    return areas(labels, np.array([clip.score for clip in clips]))


def _decided(clips: Sequence[Judgement]) -> tuple[Value, Value, Value]:
    """Precision, recall and F1; None without anomalous clips, of which they are figures."""
    hits = sum(clip.alarm and clip.label == 1 for clip in clips)
    alarms, anomalous = sum(clip.alarm for clip in clips), sum(clip.label for clip in clips)
    if not anomalous:
        return None, None, None
    precision, recall = hits / max(alarms, LEAST), hits / anomalous
    return precision, recall, 2 * precision * recall / max(precision + recall, LEAST)


def _there(values: Iterable[Value]) -> list[float]:
    return [value for value in values if value is not None]
