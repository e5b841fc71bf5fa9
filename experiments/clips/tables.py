"""The table and the picture of the study: what training earns, by the number of clips."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

matplotlib.rcParams["svg.hashsalt"] = "flowasd"  # the same picture gives the same file


class Point(NamedTuple):
    """What one density reaches after learning from some clips with one seed."""

    corpus: str
    clips: int
    seed: int
    model: str
    step: int
    nll: float
    auc: float
    pauc: float


def kind(point: Point) -> str:
    """Returns `SIMULATED` or `real`; the folds of real recordings are averaged."""
    return "SIMULATED" if point.corpus == "SIMULATED" else "real"


def by_seed(points: Sequence[Point], value: Callable[[Point], float]) -> list[float]:
    """Returns the mean of a value over the corpora, for every seed."""
    seeds = sorted({point.seed for point in points})
    return [float(np.mean([value(p) for p in points if p.seed == seed])) for seed in seeds]


def spread(values: Sequence[float], digits: int) -> str:
    """Returns the mean, and ± the standard deviation if there are several values."""
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def groups(points: Sequence[Point]) -> dict[tuple[str, int], dict[str, list[Point]]]:
    """Returns the points of each model, by kind and number of clips."""
    grouped: dict[tuple[str, int], dict[str, list[Point]]] = {}
    for point in points:
        models = grouped.setdefault((kind(point), point.clips), {"Gaussian": [], "flow": []})
        models[point.model].append(point)
    return grouped


def gains(models: dict[str, list[Point]]) -> list[float]:
    """Returns by how much the flow's NLL lies above the Gaussian's, for every seed."""
    flow, gaussian = (by_seed(models[name], lambda p: p.nll) for name in ("flow", "Gaussian"))
    return [a - b for a, b in zip(flow, gaussian, strict=True)]


def table(points: Sequence[Point]) -> str:
    """Markdown: a row a number of clips; NLL in nats per dimension, AUC / pAUC in percent."""
    head = ["clips", "clips an ID", "NLL, Gaussian", "NLL, flow", "difference"]
    head += ["AUC / pAUC, Gaussian", "AUC / pAUC, flow", "kept steps"]
    rows = [head, ["---"] * len(head)]
    for (name, clips), models in groups(points).items():
        both = models["Gaussian"], models["flow"]
        steps = sorted({point.step for point in models["flow"]})
        rows.append(
            [
                *(name, str(clips)),
                *(spread(by_seed(own, lambda p: p.nll), 3) for own in both),
                spread(gains(models), 3),
                *(_areas(own) for own in both),
                f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0]),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _areas(points: Sequence[Point]) -> str:
    auc, pauc = (by_seed(points, value) for value in (lambda p: p.auc, lambda p: p.pauc))
    return " / ".join(spread([100 * area for area in areas], 1) for areas in (auc, pauc))


def draw(path: Path, points: Sequence[Point]) -> None:
    """Draws a panel a kind: NLL over the number of clips, with the spread over seeds."""
    grouped = groups(points)
    kinds = list(dict.fromkeys(name for name, _ in grouped))
    figure = Figure(figsize=(4.5 * len(kinds), 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        counts = [clips for own, clips in grouped if own == name]
        for model in ("Gaussian", "flow"):
            nlls = [by_seed(grouped[name, n][model], lambda p: p.nll) for n in counts]
            errors = [np.std(own, ddof=1) if len(own) > 1 else 0.0 for own in nlls]
            means = [np.mean(own) for own in nlls]
            axes.errorbar(counts, means, errors, marker="o", capsize=3, label=model)
        axes.set(title=name, xscale="log", xlabel="training clips an ID")
    figure.axes[0].set_ylabel("held-out NLL, nats per dimension")
    figure.axes[0].legend()
    figure.savefig(path, metadata={"Date": None})
