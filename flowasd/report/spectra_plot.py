"""The picture of what the flow samples, beside the frames of real clips."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from flowasd.evaluation.samples import Spectra
from flowasd.report.plots import COLOURS, INK, STYLE, axes_of, legend_above, svg_of


@matplotlib.rc_context(STYLE)
def spectra(found: Spectra, alt: str) -> str:
    """Draws the medians of every band, and between which levels nine frames of ten lie."""
    figure, axes = axes_of(height=2.6)
    middle = (found.edges[:-1] + found.edges[1:]) / 2
    low, median, high = found.real
    axes.fill_between(middle, low, high, color=COLOURS[0], alpha=0.3, linewidth=0)
    axes.plot(middle, median, color=COLOURS[0], label="test clips")
    low, median, high = found.sampled
    axes.plot(middle, median, color=INK, linewidth=1, label="sampled")
    for edge in (low, high):
        axes.plot(middle, edge, color=INK, linewidth=0.7, linestyle="--")
    axes.set(ylabel="dB", xlabel=frequency_axis(axes, "x", found.hertz))
    axes.set(xlim=(found.edges[0], found.edges[-1]))
    legend_above(figure, axes)
    return svg_of(figure, alt)


def frequency_axis(axes: Axes, which: str, hertz: bool) -> str:
    """Makes an axis one of kilohertz, if its values are in Hz, and returns its label."""
    if hertz:
        axis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(lambda hz, _: f"{np.float64(hz) / 1000:g}"))
    return "frequency, kHz" if hertz else "band"
