"""Attribution: how much every band at every time adds to the score of a clip.

Integrated gradients (Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", 2017,
equation 1) share out the difference between the score of a clip and that of normal frames among the
bands of its frames. A frame that is pooled has no time within its window; its bands' shares go to
the spectra of the window that lie on the same side of normal as the frame does.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree
from scipy.ndimage import gaussian_filter

from flowasd.features.frontend import FrontendConfig
from flowasd.features.patches import covering_patches
from flowasd.flow.glow import Glow

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(16)  # of an integral from -1 to 1
SMOOTHING = (1.5, 0.8)  # standard deviations in spectra and bands; see experiments/pointing

Frames = Float[np.ndarray, "frame band"]
Spectra = Float[np.ndarray, "time band"]


def integrated_gradients(
    flow: Glow,
    frames: Frames,
    normal: Float[np.ndarray, " band"],
    versus: Float[np.ndarray, " machine"],
    *,
    length: int,
    hop: int,
) -> Frames:
    """Shares of the frames' bands in the score, less the score of normal frames.

    The sum over all frames and bands is the difference of the two scores, up to the error of a
    Gauss-Legendre rule with 16 nodes. For a flow that is a Gaussian the rule is exact.

    Args:
        flow: The flow.
        frames: Standardised frames of the clip.
        normal: The standardised normal frame.
        versus: Weight of the mean NLL under every machine ID; their sum is the score, in nats per
            dimension.
        length: Frames of a patch.
        hop: Distance between patches in frames.
    """
    return (frames - normal) * mean_gradient(
        flow,
        frames,
        normal,
        versus,
        length=length,
        hop=hop,
        at=(NODES + 1) / 2,
        by=NODE_WEIGHTS / 2,
    )


def mean_gradient(
    flow: Glow,
    frames: Frames,
    normal: Float[np.ndarray, " band"],
    versus: Float[np.ndarray, " machine"],
    *,
    length: int,
    hop: int,
    at: Float[np.ndarray, " node"],
    by: Float[np.ndarray, " node"],
) -> Frames:
    """Gradient of the score by the frames, averaged on the line from normal frames to the clip's.

    Args:
        flow: The flow; this and the other arguments are those of `integrated_gradients`.
        frames: The clip.
        normal: Where the line begins.
        versus: The score.
        length: Frames of a patch.
        hop: Distance between patches.
        at: Places on the line: 0 is normal, 1 is the clip.
        by: Weight of every place.
    """
    index, _ = covering_patches(np.array([len(frames)]), length, hop)
    count = np.bincount(index.ravel(), minlength=len(frames))
    graph, state = nnx.split(flow)
    weight = 1 / (count[index] * len(frames))  # a frame counts as much as any other
    arrays = (frames[index], normal, weight, versus, at, by)
    gradient = _mean_gradient(graph, state, *(jnp.asarray(a, jnp.float32) for a in arrays))
    total = np.zeros(frames.shape)
    np.add.at(total, index, np.asarray(gradient))
    return total


@partial(jax.jit, static_argnames="graph")
def _mean_gradient(
    graph: nnx.GraphDef[Glow],
    state: PyTree,
    patches: Float[Array, "batch time band"],
    normal: Float[Array, " band"],
    weight: Float[Array, "batch time"],
    versus: Float[Array, " machine"],
    at: Float[Array, " node"],
    by: Float[Array, " node"],
) -> Float[Array, "batch time band"]:
    def score(x: Float[Array, "batch time band"]) -> Float[Array, ""]:
        nll = -nnx.merge(graph, state).log_prob_machines(x[..., None]) / x.shape[-1]
        return (weight * (nll @ versus)).sum()

    def one(node: tuple[Float[Array, ""], Float[Array, ""]]) -> Float[Array, "batch time band"]:
        place, share = node
        return share * jax.grad(score)(normal + place * (patches - normal))

    with jax.default_matmul_precision("highest"):
        return jax.lax.map(one, (at, by)).sum(0)


def spread(
    shares: Frames,
    away: Frames,
    spectra: Spectra,
    level: Float[np.ndarray, " band"],
    frontend: FrontendConfig,
) -> Spectra:
    """Spreads the shares of frames over the spectra that they are made of; the sum stays the same.

    Where a band of a frame lies above the normal frame, its share goes to the spectra that are
    louder than normal in this band, in proportion to the distance in dB; where it lies below, to
    those that are softer. A spectrum that is a frame by itself keeps its share. The result is
    smoothed, because windows of neighbouring spectra overlap and neighbouring bands leak into each
    other.

    Args:
        shares: Share of every band of every frame.
        away: How far every band of every frame lies above the normal frame.
        spectra: Bands before pooling, in dB.
        level: Mean level of every band in normal clips, in dB.
        frontend: Settings of the front-end.
    """
    total = np.zeros(spectra.shape)
    for times, share, side in zip(
        frontend.frame_windows(len(spectra)), shares, np.sign(away), strict=True
    ):
        part = spectra[times]
        weight = np.maximum((part - level) * side, 0.0)
        weight = np.where(weight.any(0), weight, 1.0)
        total[times] += share * weight / weight.sum(0)
    return gaussian_filter(total, SMOOTHING, mode="reflect")  # which keeps the sum
