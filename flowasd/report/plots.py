"""The report's pictures: pure functions from arrays to `<svg>` elements for an HTML page.

Every picture takes the text colour of its page, so that it fits dark and light pages. All pictures
have the same width, so that their text has the same size.
"""

import io
import re
from collections.abc import Mapping
from html import escape
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

CLASSES = {0: "normal", 1: "anomalous", None: "unlabelled"}
COLOURS = {0: "#3b8bd0", 1: "#e8643c", None: "#8a8f98"}
INK = "#010203"  # a placeholder, which `svg_of` replaces by the text colour of the page
WIDTH = 4.6  # inches; text is legible on a phone, and two pictures fit side by side on a desk
LEFT, RIGHT, BOTTOM, TOP = 0.72, 0.12, 0.45, 0.12  # inches around the axes
LEGEND_ROW = 0.19  # inches

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.parse_math": False,  # a `$` in a machine ID does not begin a formula
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
}


@matplotlib.rc_context(STYLE)
def training_curve(
    train: Float[np.ndarray, "2 logged"], validation: Float[np.ndarray, "2 validated"]
) -> str:
    """Draws two curves of the NLL in nats per dimension over the step; either may be empty."""
    figure, axes = axes_of(height=2.6)
    if train.size:
        axes.plot(*train, color=COLOURS[None], linewidth=1, label="training")
    if validation.size:
        step, best = validation[:, validation[1].argmin()]
        axes.plot(*validation, color=COLOURS[0], marker=".", label="validation")
        axes.plot(step, best, "o", color=COLOURS[1], label=f"lowest: {best:.4g}, step {step:.0f}")
    axes.set(xlabel="step", ylabel="NLL, nats per dimension")
    legend_above(figure, axes)
    return svg_of(figure, "training curve")


@matplotlib.rc_context(STYLE)
def severity_curves(curves: Mapping[str, Float[np.ndarray, "2 severity"]]) -> str:
    """Draws the AUC of every stand-in over the severity; rows are severity and AUC in [0, 1]."""
    figure, axes = axes_of(height=3.2)
    axes.axhline(50, color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
    marks = cycle("os^Dv")  # beside the colours
    for name, (severity, auc) in curves.items():
        axes.plot(severity, 100 * auc, linewidth=1, marker=next(marks), label=name)
    axes.set(xlabel="severity", ylabel="AUC, %")
    legend_above(figure, axes)
    return svg_of(figure, "AUC over severity")


def axes_of(height: float) -> tuple[Figure, Axes]:
    """Returns an empty figure of the common width."""
    figure = Figure(figsize=(WIDTH, height))
    set_margins(figure)
    return figure, figure.add_subplot()


def set_margins(figure: Figure, right: float = RIGHT, top: float = TOP) -> None:
    """Leaves the same room around the axes of every picture; a layout engine draws it twice.

    Args:
        figure: The picture.
        right: Inches right of the axes.
        top: Inches above the axes.
    """
    width, height = figure.get_size_inches()
    figure.subplots_adjust(LEFT / width, BOTTOM / height, 1 - right / width, 1 - top / height)


def legend_above(figure: Figure, axes: Axes) -> None:
    """Puts the legend over the axes, where it hides nothing."""
    columns = 3
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, columnspacing=1, handlelength=1
    )
    rows = -(-len(legend.get_texts()) // columns)
    set_margins(figure, top=TOP + LEGEND_ROW * rows)


def svg_of(figure: Figure, alt: str) -> str:
    """Returns a figure as an element of a page."""
    buffer = io.StringIO()
    # Without a salt, identifiers in the picture would change at every run, and so would the report.
    with matplotlib.rc_context({"svg.hashsalt": ascii(alt)}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", dpi=100, metadata=nothing)
    _, _, svg = buffer.getvalue().partition("<svg")
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # nothing refers to these identifiers
    return f'<svg role="img" aria-label="{escape(alt)}"{svg.replace(INK, "currentColor")}'
