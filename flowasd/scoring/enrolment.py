"""Enrolment: a machine that the flow was not trained on gets a base density of its own.

The steps of the flow are shared by all machine IDs, and say how the sound of a machine of this
kind varies. What is missing of a new machine is where it lies: a mean in latent space, which some
clips tell without any training.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree

from flowasd.errors import UserError
from flowasd.features.patches import covering_patches
from flowasd.flow.glow import Glow
from flowasd.scoring.calibration import FEW
from flowasd.scoring.decision import CROSS_FITTED, Calibration, NormalScores
from flowasd.scoring.frame_nll import frame_nll
from flowasd.scoring.rules import Clips, Normality, joined

FOLDS = 5  # of the clips, none of which is scored by its own mean
PATCHES_AT_ONCE = 32

Bands = Float[np.ndarray, "_ band"]
Latent = Float[np.ndarray, "_ _"]


class Row(NamedTuple):
    """What the tables of a flow and of a calibration hold of one machine ID.

    Attributes:
        mean: Mean of the base density of every level.
        log_scale: Log-scale of the base density of every level.
        level: As in `Normality`; so are location and spread.
        normal: Score by every rule of the clips that p-values are ranks among.
        kind: Of these clips, as in `Calibration`.
    """

    mean: tuple[Latent, ...]
    log_scale: tuple[Latent, ...]
    level: float
    location: Float[np.ndarray, " joined"]
    spread: Float[np.ndarray, " joined"]
    normal: Float[np.ndarray, "clip rule"]
    kind: str = CROSS_FITTED


def enrol(
    flow: Glow, normality: Normality, clips: Sequence[Bands], *, length: int, hop: int
) -> Row:
    """Finds the row of a new machine from its clips.

    Args:
        flow: The flow, whose steps all IDs share.
        normality: Statistics of the IDs that it was trained on.
        clips: Standardised bands of normal clips of the new machine; at least one.
        length: Frames of a patch.
        hop: Distance between patches in frames.

    Raises:
        UserError: If the steps of the flow see the machine ID.
    """
    if any(level.config.conditional for level in flow.levels):
        raise UserError(
            "the steps of this flow see the machine ID, so no ID can be added; train with "
            "conditional=False in every level"
        )
    latents = clip_latents(flow, clips, length)
    mean = tuple(shrunk(base.mean[...], of_level) for base, of_level in _levels(flow, latents))
    log_scale = tuple(np.asarray(base.log_scale[...]).mean(0) for base in flow.bases)
    location, spread = normality.location.mean(0), normality.spread.mean(0)
    level, no_clips = float(normality.level.mean()), NormalScores.none().scores
    row = Row(mean, log_scale, level, location, spread, no_clips)
    unseen = _by_others(flow, clips, latents, row, length, hop)
    scores, n, n_machines = joined(unseen, normality), len(clips), len(normality.level)
    if n < FEW:  # the scores' scatter is that of the other machines
        row = row._replace(location=np.array([location[0], scores.mean(0)[1]]))
    else:
        pooled = n_machines * spread**2 + n * scores.var(0)
        row = row._replace(
            level=float(np.mean([nll.mean() for nll in unseen.own_nlls()])),
            location=scores.mean(0),
            spread=np.sqrt(pooled / (n_machines + n)),
        )
    if n == 1:  # it was scored by its own mean, which is no rank of a new clip
        return row
    return row._replace(normal=NormalScores.of(unseen, extended_normality(normality, row)).scores)


def _levels(flow: Glow, latents: Sequence[np.ndarray]):
    return zip(flow.bases, latents, strict=True)


def _by_others(
    flow: Glow,
    clips: Sequence[Bands],
    latents: Sequence[Float[np.ndarray, "clip _ _"]],
    row: Row,
    length: int,
    hop: int,
) -> Clips:
    """The NLLs of clips by the mean of other clips, in folds; of a single clip by its own mean."""
    count, known = len(clips), flow.embedding.num_embeddings
    fold = np.arange(count) % FOLDS
    rows = []
    for out in range(min(count, FOLDS)):
        others = [latent[fold != out] if count > 1 else latent for latent in latents]
        mean = tuple(shrunk(base.mean[...], some) for base, some in _levels(flow, others))
        rows.append(row._replace(mean=mean))
    nlls = frame_nll(
        extended(flow, rows), clips, length=length, hop=hop, batch_size=PATCHES_AT_ONCE
    )
    own = [nll[:, [*range(known), known + f]] for nll, f in zip(nlls, fold, strict=True)]
    return Clips(own, np.full(count, known))


def clip_latents(
    flow: Glow, clips: Sequence[Bands], length: int
) -> list[Float[np.ndarray, "clip _ _"]]:
    """Returns the mean latent of every clip, an array a level.

    All patches run in batches of one shape, whose last is padded.
    """
    n_frames = np.array([len(clip) for clip in clips])
    index, clip = covering_patches(n_frames, length, length)
    graph, state = nnx.split(flow)
    frames, batches = np.concatenate(clips), []
    for first in range(0, len(index), PATCHES_AT_ONCE):
        some = np.arange(first, first + PATCHES_AT_ONCE) % len(index)  # the padding repeats patches
        batches.append(_patch_latents(graph, state, jnp.asarray(frames[index[some]])))
    latents = []
    for level in zip(*batches, strict=True):
        latent = np.concatenate([*map(np.asarray, level)])[: len(index)]
        total = np.zeros((len(clips), *latent.shape[1:]))
        np.add.at(total, clip, latent)
        latents.append(total / np.bincount(clip)[:, None, None])
    return latents


@partial(jax.jit, static_argnames="graph")
def _patch_latents(
    graph: nnx.GraphDef[Glow], state: PyTree, x: Float[Array, "batch time band"]
) -> list[Float[Array, "batch _ _"]]:
    with jax.default_matmul_precision("highest"):
        latents, _ = nnx.merge(graph, state).forward(x[..., None], jnp.zeros(len(x), jnp.int32))
    return [latent.mean(1) for latent in latents]


def shrunk(
    known: Float[Array, "machine band channel"], clips: Float[np.ndarray, "clip band channel"]
) -> Latent:
    """Returns the mean of a new machine: that of its clips, drawn towards those of the known IDs.

    This is the estimator of James & Stein ("Estimation with quadratic loss", 1961), with its
    positive part, towards the affine span of the known means. What lies in the span is kept; the
    rest is shortened by the share of its squared length that the scatter of the clips explains. For
    Gaussian clips that scatter alike in all directions, and at least three directions outside the
    span, its expected squared error is below that of the clips' mean wherever the machine lies.
    The variance of a clip around its machine's mean is 1, for which the flow is trained, until the
    clips say otherwise: it counts as much as that of one clip.
    """
    means, own = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (known, clips))
    centre = means.mean(0)
    span = np.linalg.svd(means - centre, full_matrices=False)[2][: len(means) - 1]
    away = own - centre
    away -= away @ span.T @ span
    free = own.shape[1] - len(span)
    mean = away.mean(0)
    variance = (free + ((away - mean) ** 2).sum()) / (len(own) * free + 2)
    explained = max(free - 2, 0) * variance / len(own)
    share = min(explained / max(mean @ mean, np.finfo(float).tiny), 1.0)
    return (own.mean(0) - share * mean).reshape(clips.shape[1:])


def extended(flow: Glow, rows: Sequence[Row]) -> Glow:
    """Returns the flow with more machine IDs behind those that it has."""
    flow = nnx.merge(*nnx.split(flow))  # a copy, which shares the arrays
    for i, base in enumerate(flow.bases):
        for name in ("mean", "log_scale"):
            table = getattr(base, name)
            more = [jnp.asarray(getattr(row, name)[i], jnp.float32) for row in rows]
            setattr(base, name, nnx.Param(jnp.concatenate([table[...], jnp.stack(more)])))
    embedding = flow.embedding.embedding[...]
    unused = jnp.zeros((len(rows), embedding.shape[1]))  # no step sees it
    flow.embedding.embedding = nnx.Param(jnp.concatenate([embedding, unused]))
    flow.embedding.num_embeddings += len(rows)
    return flow


def extended_calibration(calibration: Calibration, row: Row) -> Calibration:
    """Returns the calibration with that of one more machine ID."""
    machine = np.full(len(row.normal), len(calibration.kinds))
    return Calibration(
        extended_normality(calibration.normality, row),
        calibration.normal.joined(NormalScores(row.normal, machine)),
        (*calibration.kinds, row.kind),
    )


def extended_normality(normality: Normality, row: Row) -> Normality:
    """Returns the statistics with those of one more machine ID."""
    more = {
        name: np.concatenate([getattr(normality, name), np.asarray(getattr(row, name))[None]])
        for name in ("level", "location", "spread")
    }
    return normality._replace(**more)
