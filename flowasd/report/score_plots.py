"""Pictures of scores and decisions: histogram with threshold, ROC, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from flowasd.report.plots import CLASSES, COLOURS, INK, STYLE, axes_of, legend_above, svg_of

BINS = 30
DECADES = 100  # how many times the lowest positive score, or the middle half, is a wide range
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))  # beside the colours


@matplotlib.rc_context(STYLE)
def histogram(
    scores: Mapping[int | None, Sequence[float]], alt: str, threshold: float = np.inf
) -> str:
    """Draws a histogram of the scores of each class, in percent of the clips of that class.

    Where scores span decades, the axis is logarithmic.

    Args:
        scores: By label.
        alt: Description of the picture.
        threshold: A line is drawn here, if it is finite.
    """
    every = np.concatenate([np.asarray(values, float) for values in scores.values()])
    shown = np.append(every, threshold) if np.isfinite(threshold) else every
    scale, edges = bins(shown)
    figure, axes = axes_of(height=2.4)
    for label, values in scores.items():
        axes.stairs(
            100 / len(values) * np.histogram(values, edges)[0],
            edges,
            fill=True,
            facecolor=COLOURS[label],
            alpha=0.6,
            edgecolor=INK if label == 1 else "none",  # not by the colour alone
            linewidth=0.8,
            label=f"{CLASSES[label]} ({len(values)})",
        )
    axes.set_xscale(scale["value"], **{k: v for k, v in scale.items() if k != "value"})
    if scale["value"] != "linear":  # these scales would write their labels as formulas
        axes.xaxis.set_major_formatter(FuncFormatter(lambda score, _: f"{np.float64(score):g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="score", ylabel="% of clips")
    axes.margins(y=0.15)  # room for the word at the threshold
    if np.isfinite(threshold):
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--")
        axes.annotate(
            "alarm →",
            (threshold, 1),
            (3, 0),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            va="top",
            fontsize=8,
        )
    legend_above(figure, axes)
    return svg_of(figure, alt)


def bins(values: Float[np.ndarray, " n"]) -> tuple[dict[str, Any], Float[np.ndarray, " edge"]]:
    """Returns the scale of an axis, as matplotlib takes it, and the edges of bins on it."""
    low, high = values.min(), values.max()
    if low > 0 and high / low > DECADES:
        return {"value": "log"}, np.geomspace(low, high, BINS + 1)
    middle = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    if low < 0 < high and middle > 0 and high - low > DECADES * middle:
        low, high = np.arcsinh([low / middle, high / middle])
        edges = middle * np.sinh(np.linspace(low, high, BINS + 1))
        return {"value": "asinh", "linear_width": middle}, edges
    return {"value": "linear"}, np.histogram_bin_edges(values, BINS)


class Curve(NamedTuple):
    """What a ROC curve is drawn of.

    Attributes:
        name: Its name in the legend.
        labels: 0 or 1 a clip.
        scores: One a clip.
        alarms: Whether each clip is an alarm.
    """

    name: str
    labels: Sequence[int]
    scores: Sequence[float]
    alarms: Sequence[bool]


@matplotlib.rc_context(STYLE)
def roc(curves: Sequence[Curve]) -> str:
    """Draws ROC curves; the pAUC part is shaded, a cross marks the decisions and their intervals.

    The arms of a cross are 95 % intervals (Wilson's) of both rates.
    """
    figure, axes = axes_of(height=4.2)
    axes.axvspan(0, 0.1, color=INK, alpha=0.1, linewidth=0)
    axes.plot([0, 1], [0, 1], color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
    lines = []
    for i, curve in enumerate(curves):
        style = LINES[i % len(LINES)]
        rates = roc_curve(curve.labels, curve.scores)[:2]
        (line,) = axes.plot(*rates, linestyle=style)
        lines.append(line)
        _cross(axes, curve, line.get_color())
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(lines, [c.name for c in curves], loc="lower right", handlelength=3)
    return svg_of(figure, "ROC curves")


def _cross(axes: Axes, curve: Curve, colour: Any) -> None:
    rates, arms = [], []
    for label in (0, 1):
        alarms = [a for a, own in zip(curve.alarms, curve.labels, strict=True) if own == label]
        rates.append(sum(alarms) / len(alarms))
        arms.append(wilson(sum(alarms), len(alarms)))
    x, y = rates
    axes.plot(arms[0], (y, y), color=colour, linewidth=0.7)
    axes.plot((x, x), arms[1], color=colour, linewidth=0.7)
    axes.plot(x, y, "o", color=colour, markersize=4)


def wilson(count: int, of: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share."""
    found = binomtest(count, of).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


@matplotlib.rc_context(STYLE)
def calibration(p_values: Mapping[int | None, Sequence[float]], alpha: float) -> str:
    """Draws the rate of alarms that is found over the rate of false alarms that is asked for.

    Args:
        p_values: By label; there is one at least.
        alpha: The rate that decisions allow, which is marked.
    """
    figure, axes = axes_of(height=4.2)
    axes.plot([0, 1], [0, 1], color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
    for label, values in p_values.items():
        found = np.sort(np.asarray(values, float))
        x = np.concatenate([[0], found, [1]])
        y = np.concatenate([[0], np.arange(1, len(found) + 1) / len(found), [1]])
        name = f"{CLASSES[label]} ({len(found)})"
        line = "-" if label == 0 else "-."
        axes.plot(x, y, linestyle=line, drawstyle="steps-post", color=COLOURS[label], label=name)
    axes.axvline(alpha, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="rate of false alarms that is asked for", ylabel="rate of alarms found")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    legend_above(figure, axes)
    return svg_of(figure, "calibration")
