"""What normal clips of every machine look like: what explanations compare a clip with."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from flowasd.features.frontend import FrontendConfig, Standardisation
from flowasd.features.pooling import rank_weights
from flowasd.flow.glow import Glow
from flowasd.scoring.enrolment import clip_latents

# Shares of a clip's time: closer to each other at the loud end, which pooling weighs most, and at
# the soft end, which its background weighs most.
SHARES = np.concatenate([np.linspace(0, 0.24, 8) ** 2, 1 - np.linspace(1, 0, 33)[1:] ** 2])

_weights = jax.jit(rank_weights, static_argnums=(0, 1, 2, 3))

Spectra = Float[np.ndarray, "time band"]
Quantiles = Float[np.ndarray, "share band"]
Frames = Float[np.ndarray, "_ band"]


class Reference(NamedTuple):
    """Statistics of the training clips.

    Attributes:
        quantiles: Level in dB that a band stays below for each of the `SHARES` of a clip's time,
            as a mean over the clips of a machine. Bands are those before pooling.
        latents: Mean latent of clips. In latent space the flow has made all directions alike.
        machine: Machine index of each of these clips.
        names: Name of each of these clips.
    """

    quantiles: Float[np.ndarray, "machine share band"]
    latents: Float[np.ndarray, "clip latent"]
    machine: Int[np.ndarray, " clip"]
    names: tuple[str, ...]


def mean_quantiles(clips: Iterable[Spectra]) -> Quantiles:
    """Returns the quantiles over time of every band in dB, averaged over clips."""
    each = np.array([np.quantile(clip, SHARES, axis=0) for clip in clips])
    return each.mean(0).astype(np.float32)


def ranked(quantiles: Quantiles, n_frames: int) -> Float[np.ndarray, "rank band"]:
    """Returns the normal level of the loudest of `n_frames`, of the second loudest, and so on."""
    share = 1 - np.arange(n_frames) / max(n_frames - 1, 1)
    below = np.clip(np.searchsorted(SHARES, share) - 1, 0, len(SHARES) - 2)
    step = (share - SHARES[below]) / (SHARES[below + 1] - SHARES[below])
    low, high = quantiles[below], quantiles[below + 1]
    return low + step[:, None] * (high - low)


def mean_level(quantiles: Quantiles) -> Float[np.ndarray, " band"]:
    """Returns the mean over time of every band in dB."""
    return np.trapezoid(quantiles, SHARES, axis=0)


def normal_frame(
    quantiles: Quantiles, n_spectra: int, frontend: FrontendConfig
) -> Float[np.ndarray, " band"]:
    """Returns the normal frame of a clip of `n_spectra`, in dB: a pooled one, if frames are."""
    window = min(frontend.windows[0], n_spectra)
    if not window:
        return mean_level(quantiles)
    pooling = frontend.pooling
    weights = _weights(window, window, pooling.decay, pooling.background)
    return np.asarray(weights) @ ranked(quantiles, window)


def mean_latents(
    flow: Glow, clips: Sequence[Frames], length: int
) -> Float[np.ndarray, "clip latent"]:
    """Returns the mean latent of every clip, the levels of the flow one after the other.

    Args:
        flow: The flow.
        clips: Standardised frames.
        length: Frames of a patch.
    """
    levels = clip_latents(flow, clips, length)
    rows = [level.reshape(len(clips), -1) for level in levels]
    return np.concatenate(rows, 1).astype(np.float32)


def quantiles_of(
    reference: Reference,
    machine: int,
    flow: Glow,
    statistics: Standardisation,
    n_spectra: int,
    frontend: FrontendConfig,
) -> Quantiles:
    """Returns the normal quantiles of a machine; an enrolled one is a mean of the others, shifted.

    The reference does not have the clips of an enrolled machine. Its normal frame is the one that
    the flow maps to the mean of its base density. The quantiles of the other machines are averaged,
    and every band is moved up or down until its frame is that one.

    Args:
        reference: Statistics of the machines that the flow was trained on.
        machine: Machine index; an enrolled one lies behind those of the reference.
        flow: The flow.
        statistics: Standardisation of its input.
        n_spectra: Spectra of the clip that is compared.
        frontend: Settings of the front-end.
    """
    if machine < len(reference.quantiles):
        return reference.quantiles[machine]
    others = reference.quantiles.mean(0)
    frames, latents = flow.frames_per_latent, []
    for level, base in zip(flow.levels, flow.bases, strict=True):
        frames //= level.squeeze.time
        latents.append(jnp.repeat(base.mean[machine][None, None], frames, axis=1))
    frame = np.asarray(flow.inverse(latents, jnp.array([machine])))[0, :, :, 0].mean(0)
    wanted = frame * statistics.std + statistics.mean
    moved = wanted - normal_frame(others, n_spectra, frontend)
    return others + moved / (1 - (frontend.pooling.background if frontend.windows[0] else 0))
