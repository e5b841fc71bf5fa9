"""The picture of an explanation: spectrogram, NLL per frame, and what raises the score."""

import io
from pathlib import PurePath
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from flowasd.report.plots import COLOURS, INK, STYLE, TOP, WIDTH, set_margins, svg_of
from flowasd.report.spectra_plot import frequency_axis
from flowasd.scoring.explanation import Explanation

# The rules whose score lies on the scale of the curve.
IN_NATS = ("mean", "max", "p75", "top10", "relative")

RIGHT = 0.6  # inches, for the labels of the colours

PNG: dict[Any, Any] = STYLE | {  # a PNG has no page whose colours it could take
    "text.color": "black",
    "axes.edgecolor": "black",
    "axes.labelcolor": "black",
    "xtick.color": "black",
    "ytick.color": "black",
    "figure.facecolor": "white",
}


def as_svg(explanation: Explanation, alt: str) -> str:
    """Draws an explanation as an element of a page, with a description for who cannot see it."""
    with matplotlib.rc_context(STYLE):
        return svg_of(_draw(explanation), alt)


def as_png(explanation: Explanation, title: str) -> bytes:
    """Draws an explanation as a PNG file."""
    with matplotlib.rc_context(PNG):
        figure, buffer = _draw(explanation), io.BytesIO()
        text = figure.suptitle(_printable(title), y=0.99, va="top")
        figure.set_dpi(200)
        while text.get_window_extent().width > 0.98 * figure.bbox.width:  # a long name
            text.set_fontsize(0.9 * float(text.get_fontsize()))
        set_margins(figure, RIGHT, TOP + 0.2)
        figure.savefig(buffer, format="png", dpi=200)
        return buffer.getvalue()


def _printable(name: str) -> str:
    return PurePath(name).name.encode("utf-8", errors="replace").decode()


def _draw(e: Explanation) -> Figure:
    rows: list[Any]
    rows, heights = [["mel", "mel_bar"], ["map", "map_bar"]], [3.0, 3.0]
    if len(e.curve) > 1:  # a clip that is one pooled frame has no curve
        rows.insert(1, ["curve", "."])
        heights.insert(1, 1.6)
    figure = Figure(figsize=(WIDTH, 0.8 * sum(heights)))
    set_margins(figure, RIGHT)
    figure.subplots_adjust(wspace=0.05, hspace=0.1)
    axes = figure.subplot_mosaic(rows, width_ratios=[30, 1], height_ratios=heights)
    image = axes["mel"].pcolormesh(e.times, e.bands, e.spectra.T, cmap="magma", rasterized=True)
    figure.colorbar(image, cax=axes["mel_bar"], label="dB")
    axes["mel"].tick_params(labelbottom=False)
    if "curve" in axes:
        _draw_curve(axes["curve"], e)
    largest = max(float(np.abs(e.map).max()), 1e-12)
    cells = e.map.T / largest  # the scale is relative: a cell by itself means little
    norm = TwoSlopeNorm(0, -1, 1)
    image = axes["map"].pcolormesh(
        e.times, e.bands, cells, cmap="RdBu_r", norm=norm, rasterized=True
    )
    figure.colorbar(image, cax=axes["map_bar"], label="lowers | raises", ticks=[])
    for name in ("mel", "map"):
        axes[name].set(ylabel=frequency_axis(axes[name], "y", e.hertz))
        for region in e.regions:
            corner, size = (
                (region.start, region.low),
                (region.end - region.start, region.high - region.low),
            )
            colour = "white" if name == "mel" else "black"
            axes[name].add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour))
    axes["map"].set(xlabel="time, s")
    return figure


def _draw_curve(axes: Axes, e: Explanation) -> None:
    """Draws what is explained, frame by frame; where the score has its unit, it is a line."""
    axes.plot(e.frame_times, e.curve, color=COLOURS[0], linewidth=1, marker=".", markersize=3)
    axes.axhline(e.normal, color=INK, linewidth=0.7, linestyle="--")
    if e.rule in IN_NATS:
        axes.axhline(e.score, color=COLOURS[1], linewidth=1)
    axes.tick_params(labelbottom=False)
    axes.set(xlim=(e.times[0], e.times[-1]), ylabel="NLL")
    if e.rule == "relative":
        axes.set(ylabel="NLL less\nmean of IDs")
