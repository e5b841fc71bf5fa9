"""What training curves from two starts say of each other."""

from collections.abc import Sequence

import numpy as np

Curve = dict[int, float]  # held-out NLL by step

COLUMNS = (
    "shape",
    "normal, before",
    "Gaussian, before",
    "normal, lowest",
    "Gaussian, lowest",
    "steps of the normal to where the Gaussian starts",
    "steps of the normal to the higher lowest",
    "steps of the Gaussian to there",
)


def first_below(nlls: Curve, level: float) -> float:
    """Returns the first step whose NLL is not above a level; infinite if there is none."""
    return min((step for step, nll in nlls.items() if nll <= level), default=np.inf)


def row_of(shape: str, curves: Sequence[tuple[Curve, Curve]]) -> list[str]:
    """One line of the table, from the curves of every seed: of the Gaussian and of the normal.

    NLLs are means over the seeds, ± the standard deviation; steps are those of every seed. The
    higher of the two lowest NLLs is one that both reach.
    """
    nlls, steps = [], []
    for gaussian, normal in curves:
        lowest = min(normal.values()), min(gaussian.values())
        nlls.append([normal[0], gaussian[0], *lowest])
        levels = ((normal, gaussian[0]), (normal, max(lowest)), (gaussian, max(lowest)))
        steps.append([first_below(curve, level) for curve, level in levels])
    values = np.array(nlls)
    means, spreads = values.mean(0), values.std(0, ddof=min(1, len(values) - 1))
    cells = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(means, spreads, strict=True)]
    cells += [", ".join(f"{step:g}" for step in column) for column in zip(*steps, strict=True)]
    return [shape, *cells]
