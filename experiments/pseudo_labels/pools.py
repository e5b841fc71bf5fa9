"""Unlabelled pools, and the clips that what was learned from a pool is tested on."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from experiments.clips.pooled import Pooled, recorded
from flowasd.config import RunConfig
from flowasd.data.clips import Clip
from flowasd.data.dataset import read_dataset
from flowasd.data.ground_truth import read_ground_truth, true_clips
from flowasd.data.simulated.slide_rail import CAUSES

# Share of anomalous clips in the pool; None takes every clip that there is.
ANOMALIES = MappingProxyType({"none": 0.0, "few": 0.05, "half": 0.5, "all": None})

Chosen = Int[np.ndarray, " chosen"]


class Pool(NamedTuple):
    """A pool and its test clips, both as positions among all test clips of a data set.

    Attributes:
        view: `"transductive"` if the pool itself is tested, `"inductive"` if other clips are, or
            `"other faults"` if these have faults of other causes, too.
        half: Which half of the clips the pool is drawn from; what is tested is of the other one.
        anomalies: Name of the share of anomalous clips, as in `ANOMALIES`.
        clips: The pool.
        test: What is tested.
    """

    view: str
    half: int
    anomalies: str
    clips: Chosen
    test: Chosen


def pools(data: Pooled, seed: int) -> Iterator[Pool]:
    """Yields every pool of a labelled data set; one that has the same clips as another is left out.

    Labels make the pools as they make the figures. Nothing in between reads them.

    Args:
        data: All test clips.
        seed: Seed of the halves, and of which clips a pool has.
    """
    order = np.random.default_rng(seed).permutation(len(data.clips))
    labels = np.array([clip.label for clip in data.clips])
    groups = [
        [order[(data.machine[order] == m) & (labels[order] == label)] for label in (0, 1)]
        for m in np.unique(data.machine)
    ]
    halves = [_joined([own[half::2] for both in groups for own in both]) for half in (0, 1)]
    seen = set()
    for name, share in ANOMALIES.items():
        whole = _joined([_mixed(normal, odd, share) for normal, odd in groups])
        if tuple(whole) in seen:
            continue
        seen.add(tuple(whole))
        if name != "none":  # without an anomaly the pool has no ROC curve
            yield Pool("transductive", 0, name, whole, whole)
        for half in (0, 1):
            own = [_mixed(normal[half::2], odd[half::2], share) for normal, odd in groups]
            yield Pool("inductive", half, name, _joined(own), halves[1 - half])
    causes = np.array([_half_of_cause(clip) for clip in data.clips])
    if (causes >= 0).any():
        whole = [
            _joined([_mixed(n[half::2], odd[causes[odd] == half], 0.5) for n, odd in groups])
            for half in (0, 1)
        ]
        for half in (0, 1):
            yield Pool("other faults", half, "half", whole[half], whole[1 - half])


def with_causes(data: Pooled) -> Pooled:
    """Returns SIMULATED clips with the attribute `cause`, which the number of a clip tells."""
    told = (
        replace(clip, attributes=(("cause", CAUSES[int(clip.path.stem[-8:]) % len(CAUSES)]),))
        for clip in data.clips
    )
    return data._replace(clips=tuple(told))


def _half_of_cause(clip: Clip) -> int:
    """Which half of the causes a fault has; -1 where nothing tells it."""
    cause = dict(clip.attributes).get("cause")
    return -1 if cause is None else int(CAUSES.index(cause) >= len(CAUSES) // 2)


def _mixed(normal: Chosen, anomalous: Chosen, share: float | None) -> Chosen:
    """All normal clips, and as many anomalous ones as make the share or as there are."""
    count = len(anomalous)
    if share is not None:
        count = min(count, round(share * len(normal) / (1 - share)))
    return np.concatenate([normal, anomalous[:count]])


def _joined(parts: list[Chosen]) -> Chosen:
    return np.sort(np.concatenate(parts))


def evaluation_set(root: Path, labels: Path, config: RunConfig) -> tuple[Pooled, Pooled]:
    """Returns the training clips and the evaluation set of an official data set.

    Args:
        root: A data set in DCASE's layout, whose `test/` has the clips of the evaluation set.
        labels: The organisers' list of labels.
        config: A config whose front-end makes one pooled frame of a clip.

    Raises:
        UserError: If the data cannot be read, or the list is of other clips.
    """
    train, test = recorded(root, config)
    names, machine_type = [clip.name for clip in test.clips], read_dataset(root).machine_type
    truth = true_clips(names, machine_type, read_ground_truth(labels))
    told = zip(test.clips, truth, strict=True)
    return train, test._replace(clips=tuple(replace(clip, label=true.label) for clip, true in told))


def wrong(pool: Pooled, chosen: Mapping[int, Chosen], machine_id: str) -> tuple[float, ...]:
    """Returns the share of a machine's pseudo-labels that are not the truth, for each label."""
    taken = {label: [pool.clips[i] for i in own] for label, own in chosen.items()}
    return tuple(
        float(np.mean([clip.label != label for clip in own if clip.machine_id == machine_id]))
        for label, own in taken.items()
    )
