"""Tables of many runs: means over folds, then mean and spread over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.runs import spread
from experiments.slider_fewshot.bootstrap import interval
from experiments.slider_fewshot.pictures import Row
from flowasd.files import write_csv


class Figure(NamedTuple):
    """AUC and pAUC of one run, rule and machine ID (or `Average`)."""

    config: str
    fold: int
    seed: int
    rule: str
    machine_id: str
    auc: float
    pauc: float


def figures_of(summary: dict, name: str, fold: int, seed: int) -> list[Figure]:
    """Every figure of a run's summary."""
    return [
        Figure(name, fold, seed, rule, machine_id, row["auc"], row["pauc"])
        for rule, rows in summary["metrics"].items()
        for machine_id, row in rows.items()
    ]


def write_figures(path: Path, figures: Iterable[Figure]) -> None:
    """Writes a row a figure."""
    write_csv(path, [Figure._fields, *figures])


def cell(figures: Sequence[Figure]) -> str:
    """`AUC / pAUC` of some figures."""
    return f"{spread(figures, 'auc')} / {spread(figures, 'pauc')}" if figures else "–"


def average_of_ids(figures: Sequence[Figure]) -> list[Figure]:
    """The averages over machine IDs, where each ID has runs of its own."""
    ids: dict[tuple, list[Figure]] = {}
    for figure in figures:
        ids.setdefault(figure[:4], []).append(figure)
    return [
        own[0]._replace(
            machine_id="Average",
            auc=float(np.mean([f.auc for f in own])),
            pauc=float(np.mean([f.pauc for f in own])),
        )
        for own in ids.values()
    ]


def by_machine(figures: Sequence[Figure], runs: Mapping[str, Sequence[Sequence[Row]]]) -> str:
    """Markdown: a row a config and rule, a column a machine ID; each `AUC / pAUC`.

    Args:
        figures: All figures.
        runs: The scores of every run of a config, for the interval of the average.
    """
    ids = list(dict.fromkeys(f.machine_id for f in figures))
    rows = dict.fromkeys((f.config, f.rule) for f in figures)
    lines = [_row(["config", "rule", *ids, "95 % interval"]), _row(["---"] * (3 + len(ids)))]
    for config, rule in rows:
        own = [f for f in figures if (f.config, f.rule) == (config, rule)]
        cells = [cell([f for f in own if f.machine_id == machine_id]) for machine_id in ids]
        lines.append(_row([config, rule, *cells, interval(runs[config], rule)]))
    return "\n".join(lines)


def by_fold(figures: Sequence[Figure]) -> str:
    """Markdown: a row a config and rule, a column a fold; each the IDs' average `AUC / pAUC`."""
    folds = sorted({f.fold for f in figures})
    rows = dict.fromkeys((f.config, f.rule) for f in figures)
    lines = [_row(["config", "rule", *(f"fold {fold}" for fold in folds)])]
    lines.append(_row(["---"] * (2 + len(folds))))
    for config, rule in rows:
        own = [
            f for f in figures if (f.config, f.rule) == (config, rule) and f.machine_id == "Average"
        ]
        lines.append(_row([config, rule, *(cell([f for f in own if f.fold == n]) for n in folds)]))
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
