"""The map of an explanation as a function of JAX arrays, which can be exported.

It is the map of `Detector.explain`. That one takes a clip of any length; this one takes a batch of
clips of one length, so its windows and the normal frames that it starts from are constants.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.ndimage import gaussian_filter1d

from flowasd.detector import Detector
from flowasd.features.frontend import FrontendConfig
from flowasd.scoring.attribution import NODE_WEIGHTS, NODES, SMOOTHING
from flowasd.scoring.reference import mean_level, normal_frame, quantiles_of
from flowasd.serving.exported_rules import Judging

# Takes patches of standardised frames, returns the NLL of every frame under every ID.
FrameNLL = Callable[[Float[Array, "batch patch length band"]], Float[Array, "batch frame machine"]]
# Takes the spectra and the frames of clips in dB, and what the rule is given; returns their maps.
MakeMap = Callable[
    [Float[Array, "batch time band"], Float[Array, "batch frame band"], Judging],
    Float[Array, "batch time band"],
]


def map_maker(
    detector: Detector,
    n_spectra: int,
    index: Int[np.ndarray, "patch length"],
    frame_nll: FrameNLL,
) -> MakeMap:
    """Returns the function that makes maps; they explain what `flowasd.scoring.explanation` does.

    Args:
        detector: The detector.
        n_spectra: Spectra of a clip.
        index: The frames of every patch.
        frame_nll: The NLL of every frame.

    Raises:
        UserError: If the detector has no reference.
    """
    levels, normals = normal_levels(detector, n_spectra)
    (mean, std), frontend = detector.statistics, detector.frontend
    placed = np.eye(index.max() + 1, dtype=np.float32)[:, index.ravel()]

    def make_map(
        spectra: Float[Array, "batch time band"],
        frames: Float[Array, "batch frame band"],
        clips: Judging,
    ) -> Float[Array, "batch time band"]:
        level, normal = clips.own @ levels, clips.own @ normals
        versus = clips.lead if detector.config.score.rule == "relative" else clips.own
        patches = ((frames - mean) / std)[:, index]
        gradient = mean_gradient(frame_nll, patches, (normal - mean) / std, versus)
        gradient = gradient.reshape(frames.shape[0], index.size, frontend.n_bands)
        away = frames - normal[:, None]
        shares = away / std * jnp.einsum("fp,bpc->bfc", placed, gradient)
        return spread(shares, away, spectra - level[:, None], frontend)

    return make_map


def normal_levels(
    detector: Detector, n_spectra: int
) -> tuple[Float[np.ndarray, "machine band"], Float[np.ndarray, "machine band"]]:
    """Returns the mean level and the normal frame of every ID, in dB.

    Args:
        detector: The detector, which has a reference.
        n_spectra: Spectra of a clip.
    """
    reference, frontend, rows = detector.compared(), detector.frontend, []
    for machine_id in detector.known_ids:
        owner = detector.enrolled.get(machine_id, detector)
        machine, statistics = owner.machine_ids.index(machine_id), detector.statistics
        own = quantiles_of(reference, machine, owner.flow, statistics, n_spectra, frontend)
        rows.append((mean_level(own), normal_frame(own, n_spectra, frontend)))
    levels, normals = np.array(rows, np.float32).swapaxes(0, 1)
    return levels, normals


def mean_gradient(
    frame_nll: FrameNLL,
    patches: Float[Array, "batch patch length band"],
    normal: Float[Array, "batch band"],
    versus: Float[Array, "batch machine"],
) -> Float[Array, "batch patch length band"]:
    """Gradient of the score by the patches, averaged on the line from normal frames to the clip's.

    Args:
        frame_nll: The NLL of every frame.
        patches: Patches of standardised frames.
        normal: The standardised normal frame of every clip's machine.
        versus: Weight of the mean NLL under every ID; their sum is the score.
    """
    at = jnp.asarray((NODES + 1) / 2, jnp.float32)[:, None, None, None]
    by = jnp.asarray(NODE_WEIGHTS / 2, jnp.float32)
    start = normal[:, None, None, None]

    def mean_score(nodes: Float[Array, "batch node patch length band"]) -> Float[Array, ""]:
        nlls = jax.vmap(frame_nll, 1, 1)(nodes).mean(2)
        return (by[:, None] * nlls * versus[:, None]).sum()

    return jax.grad(mean_score)(start + at * (patches[:, None] - start)).sum(1)


def spread(
    shares: Float[Array, "batch frame band"],
    away: Float[Array, "batch frame band"],
    above: Float[Array, "batch time band"],
    frontend: FrontendConfig,
) -> Float[Array, "batch time band"]:
    """Spreads the shares of frames over their spectra, as `flowasd.scoring.attribution.spread`.

    Args:
        shares: Share of every band of every frame.
        away: How far every band of every frame lies above the normal frame, in dB.
        above: How far every band of every spectrum lies above its mean level, in dB.
        frontend: Settings of the front-end.
    """
    n_spectra, n_bands = above.shape[1:]
    if frontend.windows[0]:
        total = jnp.zeros(())
        for i, times in enumerate(frontend.frame_windows(n_spectra)):
            weight = jnp.maximum(above[:, times] * jnp.sign(away[:, i, None]), 0.0)
            weight = jnp.where(weight.sum(1, keepdims=True) > 0, weight, 1.0)
            part = shares[:, i, None] * weight / weight.sum(1, keepdims=True)
            total += jnp.pad(part, ((0, 0), (times.start, n_spectra - times.stop), (0, 0)))
    else:
        total = shares
    time, band = (_smoothing(n, s) for n, s in zip((n_spectra, n_bands), SMOOTHING, strict=True))
    return jnp.einsum("st,btc->bsc", time, total) @ band.T


def _smoothing(size: int, deviation: float) -> Float[np.ndarray, "size size"]:
    """The matrix of a Gaussian filter along an axis."""
    eye = np.eye(size, dtype=np.float32)
    return gaussian_filter1d(eye, deviation, axis=0, mode="reflect")
