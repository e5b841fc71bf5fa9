"""When a training curve reaches what another one ends at."""

from collections.abc import Sequence

import numpy as np

Curve = dict[int, float]  # held-out NLL by step


def first_below(nlls: Curve, level: float) -> float:
    """Returns the first step whose NLL is not above a level; infinite if there is none."""
    return min((step for step, nll in nlls.items() if nll <= level), default=np.inf)


def row_of(shape: str, curves: Sequence[tuple[Curve, Curve]]) -> list[str]:
    """One line of the table, from the curves of every seed: of the Gaussian and of the normal."""
    cells: list[list[float]] = []
    for gaussian, normal in curves:
        lowest = min(normal.values())
        reached = first_below(normal, lowest), first_below(gaussian, lowest)
        cells.append([normal[0], gaussian[0], lowest, min(gaussian.values()), *reached])
    values = np.array(cells)
    means, spreads = values[:, :4].mean(0), values[:, :4].std(0, ddof=min(1, len(values) - 1))
    nlls = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(means, spreads, strict=True)]
    return [shape, *nlls, *(", ".join(f"{step:g}" for step in column) for column in values.T[4:])]
