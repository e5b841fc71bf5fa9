"""How well a map points at a planted fault."""

import numpy as np
from sklearn.metrics import average_precision_score

from experiments.pointing.maps import Map
from experiments.pointing.planted import Planted, tolerated


def measured(cells: Map, one: Planted) -> tuple[float, float, float]:
    """Returns whether the largest cell is a changed one or its neighbour, and two overlaps.

    The first overlap is intersection over union of the changed cells and as many of the largest
    cells. The second is the average precision of finding the changed cells.
    """
    truth = one.truth.ravel()
    order = np.argsort(-cells, axis=None)
    top = np.zeros(truth.shape, bool)
    top[order[: truth.sum()]] = True
    overlap = (top & truth).sum() / (top | truth).sum()
    hit = tolerated(one.truth).ravel()[order[0]]
    return float(hit), float(overlap), float(average_precision_score(truth, cells.ravel()))
