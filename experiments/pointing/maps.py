"""The maps that are compared: each says how much every cell has to do with a clip's score."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from flowasd.detector import Detector
from flowasd.features.frontend import standardise
from flowasd.features.pooling import rank_weights
from flowasd.scoring.attribution import (
    SMOOTHING,
    integrated_gradients,
    mean_gradient,
    spread,
)
from flowasd.scoring.explanation import Explanation, versus
from flowasd.scoring.reference import SHARES, mean_level, normal_frame, ranked

Map = Float[np.ndarray, "time band"]


class Scene(NamedTuple):
    """What maps are made of.

    Attributes:
        detector: The detector.
        explanation: What it says of the clip.
        bands: The clip's frames in dB.
        precision: Second derivative of the NLL by every band at a normal frame, under every ID.
        rng: For the map that knows nothing.
    """

    detector: Detector
    explanation: Explanation
    bands: Map
    precision: Float[np.ndarray, "machine band"]
    rng: np.random.Generator

    @property
    def machine(self) -> int:
        """Machine index of the clip."""
        return self.detector.machine_ids.index(self.explanation.machine_id)

    @property
    def quantiles(self) -> Float[np.ndarray, "share band"]:
        """Normal quantiles over time."""
        assert self.detector.reference is not None
        return self.detector.reference.quantiles[self.machine]

    @property
    def normal(self) -> Float[np.ndarray, " band"]:
        """The normal frame in dB."""
        return normal_frame(self.quantiles, len(self.explanation.spectra), self.detector.frontend)

    def gradient(self, weights: Float[np.ndarray, " machine"]) -> Map:
        """Gradient of the score at the clip, by standardised frames."""
        detector = self.detector
        x, r = (standardise(f, detector.statistics) for f in (self.bands, self.normal))
        length, hop = detector.config.train.patch_length, detector.config.score.hop
        once = {"at": np.ones(1), "by": np.ones(1)}
        return mean_gradient(detector.flow, x, r, weights, length=length, hop=hop, **once)

    def weights(self) -> Float[np.ndarray, " machine"]:
        """The score, as weights of the mean NLLs under all IDs."""
        n_machines = len(self.detector.machine_ids)
        return versus(self.explanation.rule, self.machine, n_machines)

    def spread(self, shares: Map) -> Map:
        """Spreads shares over time as the package does."""
        e, away = self.explanation, self.bands - self.normal
        return spread(shares, away, e.spectra, e.level, self.detector.frontend)


def curvature(detector: Detector) -> Float[np.ndarray, "machine band"]:
    """Returns the second derivatives of `Scene`: the precision, where the flow is a Gaussian."""
    graph, state = nnx.split(detector.flow)
    assert detector.reference is not None

    @jax.jit
    def diagonal(x: jax.Array, machine: jax.Array) -> jax.Array:
        def nll(x: jax.Array) -> jax.Array:
            return -nnx.merge(graph, state).log_prob(x[None, None, :, None], machine[None])[0]

        return jnp.diag(jax.jacrev(jax.grad(nll))(x)) / x.shape[-1]

    rows = []
    for machine, quantiles in enumerate(detector.reference.quantiles):
        n_spectra = max(detector.frontend.windows[0], 1)
        frame = normal_frame(quantiles, n_spectra, detector.frontend)
        x = jnp.asarray(standardise(frame, detector.statistics), jnp.float32)
        rows.append(np.asarray(diagonal(x, jnp.asarray(machine))))
    return np.array(rows)


def chance(scene: Scene) -> Map:
    """Noise."""
    return scene.rng.uniform(size=scene.explanation.spectra.shape)


def plain(scene: Scene) -> Map:
    """|x - mean| in dB."""
    return np.abs(scene.explanation.spectra - scene.explanation.level)


def plain_scaled(scene: Scene) -> Map:
    """|x - mean| in standard deviations over the time of normal clips."""
    away = (scene.quantiles - mean_level(scene.quantiles)) ** 2
    return plain(scene) / np.sqrt(np.trapezoid(away, SHARES, axis=0) + 0.01)


def plain_scaled_smooth(scene: Scene) -> Map:
    """The same, smoothed like the map of the package."""
    return gaussian_filter(plain_scaled(scene), SMOOTHING)


def independent(scene: Scene) -> Map:
    """Squared distance of every band from its normal, as if bands were independent."""
    return scene.spread(((scene.bands - scene.normal) / scene.detector.statistics.std) ** 2)


def gradient_input(scene: Scene) -> Map:
    """Gradient at the clip, times its distance from normal."""
    away = (scene.bands - scene.normal) / scene.detector.statistics.std
    return scene.spread(scene.gradient(scene.weights()) * away)


def conditional(scene: Scene) -> Map:
    """NLL of every band given the others, which is exact for a Gaussian."""
    n_machines, shares = len(scene.detector.machine_ids), np.zeros(scene.bands.shape)
    for machine, weight in enumerate(scene.weights()):
        if weight:
            slope = scene.gradient(np.eye(n_machines)[machine]) * len(scene.bands)
            shares += weight * 0.5 * slope**2 / scene.precision[machine] / len(scene.bands)
    return scene.spread(shares)


def integrated(scene: Scene) -> Map:
    """Integrated gradients, spread over time as the package does it."""
    return scene.explanation.map


def integrated_by_rank(scene: Scene) -> Map:
    """Integrated gradients, carried back by the pooling's own weights and smoothed as well.

    The loudest spectrum of a band is compared with what the loudest normally is, and so on.
    """
    e, frontend = scene.explanation, scene.detector.frontend
    detector, away = scene.detector, scene.bands - scene.normal
    x, r = (standardise(f, detector.statistics) for f in (scene.bands, scene.normal))
    length, hop = detector.config.train.patch_length, detector.config.score.hop
    shares = integrated_gradients(detector.flow, x, r, scene.weights(), length=length, hop=hop)
    slopes, total = shares / np.where(np.abs(away) > 1e-6, away, np.inf), np.zeros(e.spectra.shape)
    for times, slope in zip(frontend.frame_windows(len(e.spectra)), slopes, strict=True):
        part = e.spectra[times]
        order = np.argsort(np.argsort(-part, axis=0, kind="stable"), axis=0, kind="stable")
        normal = np.take_along_axis(ranked(scene.quantiles, len(part)), order, 0)
        pooling, size = frontend.pooling, len(part)
        weights = np.asarray(rank_weights(size, size, pooling.decay, pooling.background))
        total[times] += slope * weights[order] * (part - normal)
    return gaussian_filter(total, SMOOTHING)


MAPS: Mapping[str, Callable[[Scene], Map]] = {
    "chance": chance,
    "plain": plain,
    "plain, scaled": plain_scaled,
    "plain, scaled, smoothed": plain_scaled_smooth,
    "independent bands": independent,
    "conditional NLL": conditional,
    "gradient x input": gradient_input,
    "integrated gradients, by rank": integrated_by_rank,
    "integrated gradients": integrated,
}
