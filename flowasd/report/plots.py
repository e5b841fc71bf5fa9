"""The report's pictures: pure functions from arrays to `<svg>` elements for an HTML page.

Every picture takes the text colour of its page, so that it fits dark and light pages. All pictures
have the same width, so that their text has the same size.
"""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

CLASSES = {0: "normal", 1: "anomalous", None: "unlabelled"}
COLOURS = {0: "#3b8bd0", 1: "#e8643c", None: "#8a8f98"}
INK = "#010203"  # a placeholder, which `svg_of` replaces by the text colour of the page
WIDTH = 4.6  # inches; text is legible on a phone, and two pictures fit side by side on a desk

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
    "figure.constrained_layout.use": True,
}


@matplotlib.rc_context(STYLE)
def training_curve(
    train: Float[np.ndarray, "2 logged"], validation: Float[np.ndarray, "2 validated"]
) -> str:
    """Draws two curves of the NLL in nats per dimension over the step; either may be empty."""
    figure, axes = _axes(height=2.6)
    if train.size:
        axes.plot(*train, color=COLOURS[None], linewidth=1, label="training")
    if validation.size:
        step, best = validation[:, validation[1].argmin()]
        axes.plot(*validation, color=COLOURS[0], marker=".", label="validation")
        axes.plot(step, best, "o", color=COLOURS[1], label=f"best: {best:.4g}, step {step:.0f}")
    axes.set(xlabel="step", ylabel="NLL, nats per dimension")
    _legend_above(axes)
    return svg_of(figure, "training curve")


@matplotlib.rc_context(STYLE)
def histogram(scores: Mapping[int | None, Sequence[float]], alt: str) -> str:
    """Draws a histogram of the scores of each class, in percent of the clips of that class."""
    edges = np.histogram_bin_edges(np.concatenate(list(scores.values())), bins=30)
    figure, axes = _axes(height=2.2)
    for label, values in scores.items():
        axes.hist(
            values,
            bins=edges.tolist(),
            weights=np.full(len(values), 100 / len(values)),
            color=COLOURS[label],
            alpha=0.6,
            label=f"{CLASSES[label]} ({len(values)})",
        )
    axes.set(xlabel="score", ylabel="% of clips")
    _legend_above(axes)
    return svg_of(figure, alt)


@matplotlib.rc_context(STYLE)
def roc(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> str:
    """Draws a ROC curve for each name from labels (0 and 1) and scores; the pAUC part is shaded."""
    figure, axes = _axes(height=3.8)
    axes.axvspan(0, 0.1, color=INK, alpha=0.1, linewidth=0)
    axes.plot([0, 1], [0, 1], color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
    lines = [axes.plot(*roc_curve(labels, scores)[:2])[0] for labels, scores in curves.values()]
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(lines, list(curves), loc="lower right")
    return svg_of(figure, "ROC curves")


@matplotlib.rc_context(STYLE)
def severity_curves(curves: Mapping[str, Float[np.ndarray, "2 severity"]]) -> str:
    """Draws the AUC of every stand-in over the severity; rows are severity and AUC in [0, 1]."""
    figure, axes = _axes(height=3.2)
    axes.axhline(50, color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
    for name, (severity, auc) in curves.items():
        axes.plot(severity, 100 * auc, linewidth=1, marker=".", label=name)
    axes.set(xlabel="severity", ylabel="AUC, %")
    _legend_above(axes)
    return svg_of(figure, "AUC over severity")


@matplotlib.rc_context(STYLE)
def example(
    bands: Float[np.ndarray, "time band"],
    frame_nll: Float[np.ndarray, " time"],
    *,
    label: int | None,
    hop_seconds: float,
    decibels: tuple[float, float],
    nll: tuple[float, float],
    alt: str,
) -> str:
    """Draws the bands of a clip and, under them, the NLL of its frames on the same time axis.

    Args:
        bands: Bands in dB.
        frame_nll: NLL of every frame in nats per dimension.
        label: Label of the clip, which decides the colour of the curve.
        hop_seconds: Time from one frame to the next, in seconds.
        decibels: Range of the colours in dB.
        nll: Range that the NLL axis covers at least.
        alt: Description of the picture for readers who cannot see it.
    """
    frames, n_bands = bands.shape
    figure = Figure(figsize=(WIDTH, 3.0))
    axes = figure.subplot_mosaic(
        [["mel", "bar"], ["nll", "."]], width_ratios=[30, 1], height_ratios=[3, 2]
    )
    extent = (0, frames * hop_seconds, 0, n_bands)
    image = axes["mel"].imshow(bands.T, origin="lower", aspect="auto", extent=extent)
    image.set(clim=decibels, cmap="magma")
    axes["mel"].set(ylabel="band")
    axes["mel"].tick_params(labelbottom=False)
    figure.colorbar(image, cax=axes["bar"], label="dB")
    axes["nll"].sharex(axes["mel"])
    times = (np.arange(frames) + 0.5) * hop_seconds
    axes["nll"].plot(times, frame_nll, color=COLOURS[label], linewidth=1)
    axes["nll"].update_datalim([(0, limit) for limit in nll])
    axes["nll"].autoscale_view()
    axes["nll"].set(xlabel="seconds", ylabel="NLL")
    return svg_of(figure, alt)


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, columnspacing=1, handlelength=1)


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
