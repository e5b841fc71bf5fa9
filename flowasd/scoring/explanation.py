"""Explanation of a score: when and in which bands a clip departs from normal, and what is near."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowasd.features.frontend import EDGES, FrontendConfig, Standardisation, standardise
from flowasd.flow.glow import Glow
from flowasd.scoring.attribution import integrated_gradients, spread
from flowasd.scoring.reference import (
    Reference,
    mean_latents,
    mean_level,
    normal_frame,
    quantiles_of,
)
from flowasd.scoring.regions import Region, find_regions

NEAREST = 5

Spectra = Float[np.ndarray, "time band"]


class Neighbour(NamedTuple):
    """A normal clip of the training set.

    Attributes:
        name: Name of its file.
        machine_id: Its ID.
        distance: Root mean square difference of the two clips' mean latents. Two normal clips of a
            machine are about 1.4 apart.
    """

    name: str
    machine_id: str
    distance: float


class Explanation(NamedTuple):
    """Why a clip has its score.

    Attributes:
        machine_id: The ID that the clip is scored under.
        score: The score by the rule of the run.
        p_value: How often a normal clip of this machine scores as high or higher, in (0, 1].
        rule: That rule.
        explained: What the map explains, in nats per dimension: the score, if the rule is `mean` or
            `relative`, else the mean NLL.
        normal: The same of a clip whose frames are all normal.
        map: How much every cell raises what is explained; the sum is `explained - normal`.
        spectra: Level of every cell in dB.
        level: Mean level of every band in normal clips of the machine, in dB.
        times: Edges of the cells in seconds, one more than there are.
        bands: Edges of the bands in Hz, one more than there are. Bands of a front-end that has no
            line in `EDGES` are numbered.
        hertz: Whether the edges of the bands are in Hz.
        nll: NLL of every frame under the own ID, in nats per dimension.
        curve: What is explained, of every frame; its mean is `explained`.
        frame_times: Middle of every frame in seconds.
        regions: Where most of the map lies, the largest part first.
        nearest: The most similar normal clips, the nearest first.
    """

    machine_id: str
    score: float
    p_value: float
    rule: str
    explained: float
    normal: float
    map: Spectra
    spectra: Spectra
    level: Float[np.ndarray, " band"]
    times: Float[np.ndarray, " time_edge"]
    bands: Float[np.ndarray, " band_edge"]
    hertz: bool
    nll: Float[np.ndarray, " frame"]
    curve: Float[np.ndarray, " frame"]
    frame_times: Float[np.ndarray, " frame"]
    regions: tuple[Region, ...]
    nearest: tuple[Neighbour, ...]


class Explained(NamedTuple):
    """The machine, the rule and the settings that a clip is explained by.

    Attributes:
        flow: The flow.
        statistics: Standardisation of its input.
        reference: Statistics of normal clips.
        machine_ids: The IDs that the flow knows.
        frontend: Settings of the front-end.
        rule: The score rule.
        hop: Distance between patches in frames.
        length: Frames of a patch.
    """

    flow: Glow
    statistics: Standardisation
    reference: Reference
    machine_ids: list[str]
    frontend: FrontendConfig
    rule: str
    hop: int
    length: int


def versus(rule: str, machine: int, n_machines: int) -> Float[np.ndarray, " machine"]:
    """Returns the weight of the mean NLL under every ID in what is explained of a rule."""
    own = np.eye(n_machines)[machine]
    return own - 1 / n_machines if rule == "relative" else own


def explain_clip(
    by: Explained,
    spectra: Spectra,
    frames: Float[np.ndarray, "frame band"],
    nlls: Float[np.ndarray, "frame machine"],
    machine_id: str,
    score: float,
    p_value: float,
) -> Explanation:
    """Explains the score of one clip.

    Args:
        by: What it is explained by.
        spectra: Its bands before pooling, in dB.
        frames: Its frames in dB, which are the spectra if nothing is pooled.
        nlls: NLL of every frame under every machine ID, in nats per dimension.
        machine_id: Its ID.
        score: Its score by the rule.
        p_value: How often a normal clip scores as high or higher.
    """
    machine, frontend = by.machine_ids.index(machine_id), by.frontend
    quantiles = quantiles_of(by.reference, machine, by.flow, by.statistics, len(spectra), frontend)
    level, normal = mean_level(quantiles), normal_frame(quantiles, len(spectra), frontend)
    x, r = (standardise(f, by.statistics) for f in (frames, normal))
    weights = versus(by.rule, machine, len(by.machine_ids))
    shares = integrated_gradients(by.flow, x, r, weights, length=by.length, hop=by.hop)
    cells = spread(shares, frames - normal, spectra, level, frontend)
    curve = nlls @ weights
    explained = float(curve.mean())
    # A spectrum is centred on its time, so its cell begins half a hop before.
    times = np.maximum(np.arange(len(spectra) + 1) - 0.5, 0) / frontend.spectra_per_second
    edges = EDGES.get(frontend.name)
    bands = np.arange(frontend.n_bands + 1.0) if edges is None else edges(frontend)
    return Explanation(
        machine_id=machine_id,
        score=score,
        p_value=p_value,
        rule=by.rule,
        explained=explained,
        normal=explained - float(shares.sum()),
        map=cells,
        spectra=spectra,
        level=level,
        times=times,
        bands=bands,
        hertz=edges is not None,
        nll=nlls[:, machine],
        curve=curve,
        frame_times=frontend.frame_times(len(spectra)),
        regions=find_regions(cells, spectra - level, times, bands, "Hz" if edges else ""),
        nearest=_nearest(by, x, machine),
    )


def _nearest(
    by: Explained, x: Float[np.ndarray, "frame band"], machine: int
) -> tuple[Neighbour, ...]:
    """The nearest clips of the machine, or of all machines where the reference has none of it."""
    reference = by.reference
    own = np.flatnonzero(reference.machine == machine)
    some = own if len(own) else np.arange(len(reference.machine))
    (latent,) = mean_latents(by.flow, [x], by.length)
    distance = np.sqrt(((reference.latents[some] - latent) ** 2).mean(1))
    order = np.argsort(distance, kind="stable")[:NEAREST]
    return tuple(
        Neighbour(reference.names[i], by.machine_ids[reference.machine[i]], float(distance[k]))
        for k, i in zip(order, some[order], strict=True)
    )
