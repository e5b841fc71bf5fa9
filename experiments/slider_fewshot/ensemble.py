"""An average over seeds: the scores of the same clip by runs that differ in their seed alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.slider_fewshot.pictures import scores_of
from experiments.slider_fewshot.tables import Figure
from flowasd.evaluation import metrics


def averaged_over_seeds(
    name: str, runs: Mapping[int, Sequence[Path]], rules: Sequence[str]
) -> list[Figure]:
    """Figures of a method whose scores are means over its seeds.

    Args:
        name: What to call it.
        runs: The runs of every fold, one a seed.
        rules: Which columns of their scores.csv.
    """
    figures = []
    for fold, folders in runs.items():
        seeds = [{row["path"]: row for row in scores_of(folder)} for folder in folders]
        paths = sorted(seeds[0])
        ids = [seeds[0][path]["machine_id"] for path in paths]
        labels = [int(seeds[0][path]["label"]) for path in paths]
        for rule in rules:
            scores = np.array([[float(rows[path][rule]) for path in paths] for rows in seeds])
            rows = metrics.per_machine(ids, labels, scores.mean(0))
            figures += [
                Figure(name, fold, 0, rule, row.machine_id, row.auc, row.pauc)
                for row in [*rows, metrics.average(rows)]
            ]
    return figures
