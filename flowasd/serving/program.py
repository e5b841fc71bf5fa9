"""The whole way from samples to a decision, as one function of arrays that can leave Python.

The detector's own way goes through NumPy, takes clips of any length, and computes every rule. This
one takes clips of one length and computes the configured rule, so that it is one program for JAX's
compiler, and can be exported.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.features.frontend import EDGES, bands, pooled
from flowasd.features.patches import covering_patches
from flowasd.flow.glow import Glow
from flowasd.run.calibration_file import calibration_key
from flowasd.serving.exported_map import map_maker
from flowasd.serving.exported_rules import EXPORTED_RULES, Judging


@dataclass(frozen=True)
class Program:
    """A function of arrays with what is known of it.

    Attributes:
        call: Takes samples `(batch, samples)` at the front-end's rate, the machine index
            `(batch,)` of every clip (int32), and the rate of false alarms that decisions allow.
            It returns the outputs by name: `score` and `p_value` `(batch,)`, `decision`
            `(batch,)`, which is 1 for an alarm, `frame_nll` `(batch, frame)` and, if it was asked
            for, `map` `(batch, time, band)`. What is not a decision is NaN where a sample or a
            machine index is not valid.
        metadata: What a reader must know, as JSON can carry it.
    """

    call: Callable[..., dict[str, Array]]
    metadata: dict[str, Any]


def scoring_program(
    detector: Detector, n_samples: int, alpha: float | None = None, *, with_map: bool = False
) -> Program:
    """Makes the program of a detector; it scores by the detector's configured rule.

    Args:
        detector: The detector, with its calibration and the machines that were enrolled.
        n_samples: Samples of every clip, at the front-end's rate.
        alpha: Rate of false alarms that decisions allow by default; without it, that of the
            detector's settings.
        with_map: Whether the program also makes the map of the explanation.

    Raises:
        UserError: If the rule is not one of `EXPORTED_RULES`, or there is to be a map and the
            detector has no reference.
    """
    settings, frontend = detector.config, detector.frontend
    if settings.score.rule not in EXPORTED_RULES:
        raise UserError(
            f"the rule {settings.score.rule} cannot be exported; "
            f"give the run's --config with --config.score.rule={'|'.join(EXPORTED_RULES)}"
        )
    rule, statistics = EXPORTED_RULES[settings.score.rule], detector.statistics
    graph, state = nnx.split(_whole_flow(detector))
    peers, level = _peers(detector), _levels(detector)
    normal, count = _normal_scores(detector)
    n_spectra, n_frames = frontend.n_spectra(n_samples), frontend.n_frames(n_samples)
    length, hop = settings.train.patch_length, settings.score.hop
    index, _ = covering_patches(np.array([n_frames]), length, hop)
    share = np.eye(n_frames, dtype=np.float32)[:, index.ravel()]  # of every frame in its NLLs
    share /= share.sum(1, keepdims=True)

    def patch_nll(patch: Float[Array, "batch time band"]) -> Float[Array, "batch time machine"]:
        flow = nnx.merge(graph, state)
        return -flow.log_prob_machines(patch[..., None]) / frontend.n_bands

    def frame_nll(
        patches: Float[Array, "batch patch time band"],
    ) -> Float[Array, "batch frame machine"]:
        nlls = jax.vmap(patch_nll, 1, 1)(patches)
        nlls = nlls.reshape(patches.shape[0], index.size, len(peers))
        return jnp.einsum("fp,bpm->bfm", share, nlls)

    make_map = map_maker(detector, n_spectra, index, frame_nll) if with_map else None

    def call(samples: Array, machine: Array, alpha: Array) -> dict[str, Array]:
        batch = samples.shape[0]
        own = (machine[:, None] == np.arange(len(peers))).astype(jnp.float32)
        known = (machine >= 0) & (machine < len(peers))
        own = jnp.where(known[:, None], own, jnp.nan)
        with jax.default_matmul_precision("highest"):
            spectra = bands(samples, jnp.full(batch, n_samples, jnp.int32), frontend.unpooled)
            frames = pooled(spectra, jnp.full(batch, n_spectra, jnp.int32), frontend)
            nlls = frame_nll(((frames - statistics.mean) / statistics.std)[:, index])
            clips = Judging(nlls, own, peers, level)
            maps = {"map": make_map(spectra, frames, clips)} if make_map else {}
        score = rule(clips)
        p_value = _p_value(score, own, normal, count)
        decision = (p_value <= alpha).astype(jnp.int32)
        outputs = {"score": score, "p_value": p_value, "decision": decision}
        return outputs | {"frame_nll": clips.own_nll} | maps

    return Program(call, _metadata(detector, n_samples, alpha, with_map))


def _p_value(
    score: Float[Array, " batch"],
    own: Float[Array, "batch machine"],
    normal: Float[np.ndarray, "machine clip"],
    count: Int[np.ndarray, " machine"],
) -> Float[Array, " batch"]:
    """The conformal p-value, as `flowasd.scoring.decision.p_values` defines it."""
    above = (normal >= score[:, None, None]).astype(jnp.float32).sum(2)
    p_value = (own * (1 + above)).sum(1) / (own * (1.0 + count.astype(np.float32))).sum(1)
    return jnp.where(abs(score) < jnp.inf, p_value, jnp.nan)


def _whole_flow(detector: Detector) -> Glow:
    """The flow under all IDs, of which the enrolled ones come last."""
    flow = nnx.merge(*nnx.split(detector.flow))
    wider = [own.flow for own in detector.enrolled.values()]
    for i, base in enumerate(flow.bases):
        for name in ("mean", "log_scale"):
            rows = [getattr(own.bases[i], name)[-1:] for own in wider]
            setattr(base, name, nnx.Param(jnp.concatenate([getattr(base, name)[...], *rows])))
    rows = [own.embedding.embedding[-1:] for own in wider]
    flow.embedding.embedding = nnx.Param(jnp.concatenate([flow.embedding.embedding[...], *rows]))
    flow.embedding.num_embeddings += len(wider)
    return flow


def _peers(detector: Detector) -> Float[np.ndarray, "machine machine"]:
    """An ID is set against those that were trained on, and an enrolled one also against itself."""
    known, trained = detector.known_ids, detector.machine_ids
    member = np.array([[p in trained or p == own for p in known] for own in known], np.float32)
    return member / member.sum(1, keepdims=True)


def _levels(detector: Detector) -> Float[np.ndarray, " machine"]:
    calibrations = [own.calibration for own in (detector, *detector.enrolled.values())]
    levels = [calibration.normality.level for calibration in calibrations if calibration]
    return np.concatenate([levels[0], *(level[-1:] for level in levels[1:])]).astype(np.float32)


def _normal_scores(
    detector: Detector,
) -> tuple[Float[np.ndarray, "machine clip"], Int[np.ndarray, " machine"]]:
    """The scores that p-values are ranks among, filled up with -inf, and their number."""
    scores = [detector.normal_scores(machine_id) for machine_id in detector.known_ids]
    count = np.array([len(own) for own in scores])
    table = np.full((len(scores), max(1, count.max())), -np.inf, np.float32)
    for row, own in zip(table, scores, strict=True):
        row[: len(own)] = np.sort(own)
    return table, count


def _metadata(
    detector: Detector, n_samples: int, alpha: float | None, with_map: bool
) -> dict[str, Any]:
    frontend, score = detector.frontend, detector.config.score
    edges = EDGES.get(frontend.name)
    bytes_ = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(detector.flow))]
    return {
        "flowasd": version("flowasd"),
        "machine_ids": detector.known_ids,
        "sample_rate": frontend.sample_rate,
        "channel": detector.config.data.channel,
        "n_samples": n_samples,
        "seconds_per_frame": frontend.seconds_per_frame,
        "seconds_per_spectrum": 1 / frontend.spectra_per_second,
        "band_edges": edges(frontend).tolist() if edges else None,
        "has_map": with_map,
        "rule": score.rule,
        "alpha": score.alpha if alpha is None else alpha,
        "normal_clips": detector.normal_clips,
        "kind_of_p_values": {m: detector.kind_of_p_values(m) for m in detector.known_ids},
        "units": {
            "samples": "full scale is 1",
            "sample_rate": "Hz",
            "band_edges": "Hz",
            "score": "nats per dimension",
            "p_value": "share of normal clips that score as high or higher",
            "decision": "1 for an alarm: the p-value is alpha or less",
            "frame_nll": "nats per dimension",
            "map": "nats per dimension",
        },
        "recordings": detector.kind,
        "step": detector.step,
        "training": {
            "settings": calibration_key(detector.config, detector.step),
            "parameters": hashlib.sha256(b"".join(bytes_)).hexdigest(),
        },
    }


def as_json(metadata: dict[str, Any]) -> str:
    """Returns metadata as they are stored in every artefact."""
    return json.dumps(metadata, indent=1)
