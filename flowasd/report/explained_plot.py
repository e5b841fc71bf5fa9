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
from matplotlib.ticker import FuncFormatter

from flowasd.report.plots import COLOURS, STYLE, WIDTH, svg_of
from flowasd.scoring.explanation import Explanation

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
        figure.suptitle(_printable(title))
        figure.savefig(buffer, format="png", dpi=200)
        return buffer.getvalue()


def _printable(name: str) -> str:
    return PurePath(name).name.encode("utf-8", errors="replace").decode()


def _draw(e: Explanation) -> Figure:
    figure = Figure(figsize=(WIDTH, 5.4))
    axes = figure.subplot_mosaic(
        [["mel", "mel_bar"], ["nll", "."], ["map", "map_bar"]],
        width_ratios=[30, 1],
        height_ratios=[3, 1.3, 3],
    )
    image = axes["mel"].pcolormesh(e.times, e.bands, e.spectra.T, cmap="magma", rasterized=True)
    figure.colorbar(image, cax=axes["mel_bar"], label="dB")
    axes["nll"].plot(e.frame_times, e.nll, color=COLOURS[0], linewidth=1, marker=".")
    axes["nll"].set(ylabel="NLL", xlim=(e.times[0], e.times[-1]))
    largest = max(float(np.abs(e.map).max()), 1e-12)
    cells = e.map.T / largest  # the scale is relative: a cell by itself means little
    norm = TwoSlopeNorm(0, -1, 1)
    image = axes["map"].pcolormesh(
        e.times, e.bands, cells, cmap="RdBu_r", norm=norm, rasterized=True
    )
    figure.colorbar(image, cax=axes["map_bar"], label="lowers | raises", ticks=[])
    for name in ("mel", "map"):
        _frequency_axis(axes[name], e)
        for region in e.regions:
            corner, size = (
                (region.start, region.low),
                (region.end - region.start, region.high - region.low),
            )
            colour = "white" if name == "mel" else "black"
            axes[name].add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour))
    for name in ("mel", "nll"):
        axes[name].tick_params(labelbottom=False)
    axes["map"].set(xlabel="time, s")
    return figure


def _frequency_axis(axes: Axes, e: Explanation) -> None:
    if e.hertz:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda hz, _: f"{hz / 1000:g}"))
    axes.set(ylabel="frequency, kHz" if e.hertz else "band")
