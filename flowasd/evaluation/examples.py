"""Scored test clips, and which of them show best what a detector does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from flowasd.scoring.decision import smallest_rate
from flowasd.scoring.explanation import Explanation

HIGHEST = 3  # clips that are shown where no anomalous clip is known
MOST_ANOMALOUS = "The most anomalous clip"
NORMAL = "A normal clip beside it: the median of its machine"
MEDIAN = "A clip beside them: the median of the machine of the first"
MISS = "A miss: the anomalous clip that looks most normal"
FALSE_ALARM = "A false alarm: the normal clip that looks most anomalous"
ONE_OF_THE_HIGHEST = "One of the highest scores"


@dataclass(frozen=True)
class ScoredClip:
    """A clip with its score by every rule.

    Attributes:
        name: Its file's name.
        machine_id: What the flow was conditioned on.
        label: 0 is normal, 1 anomalous, `None` unknown.
        scores: Its score by every rule.
        p_value: Of the score by the configured rule.
        domain: Its domain, if it has one.
        section: The ID or section whose clips are judged together; empty if it is the machine ID.
    """

    name: str
    machine_id: str
    label: int | None
    scores: dict[str, float]
    p_value: float
    domain: str | None = None
    section: str = ""

    @property
    def group(self) -> str:
        """The ID or section whose clips are judged together."""
        return self.section or self.machine_id


def undefined_rules(clips: Sequence[ScoredClip]) -> list[str]:
    """Returns the rules that give every clip the same score, so that they tell nothing apart.

    `relative` is such a rule where there is one machine ID, and `std` where a clip is one frame.
    """
    rules = clips[0].scores if clips else {}
    return [rule for rule in rules if len({clip.scores[rule] for clip in clips}) == 1]


@dataclass(frozen=True)
class Example:
    """A clip to be shown and heard.

    Attributes:
        why: Why this clip is shown.
        clip: Its scores.
        samples: Its samples.
        rate: Their rate in Hz.
        explanation: Why it has its score; `None` where the run has no reference.npz.
    """

    why: str
    clip: ScoredClip
    samples: Float[np.ndarray, " samples"]
    rate: int
    explanation: Explanation | None


def finest(decided: Mapping[str, Any]) -> float:
    """Returns the lowest p-value that clips of every machine can have; it takes normal clips.

    Args:
        decided: What `alarms.decisions` has counted.
    """
    machines = decided["machines"].values()
    return max(
        (smallest_rate(m["normal_clips"]) for m in machines if m["normal_clips"]), default=0.0
    )


def ranking(
    clips: Sequence[ScoredClip], rule: str, thresholds: Mapping[str, float], lowest: float = 0.0
) -> list[int]:
    """Returns the places of the clips, the most anomalous first.

    Scores of two machines cannot be compared, so the p-value counts. Among equal p-values it is
    the distance from the threshold of the machine that counts, and then the name.

    Args:
        clips: The clips.
        rule: The rule of the scores.
        thresholds: Of every machine; infinite where no score raises an alarm.
        lowest: Lower p-values count as equal, because a machine with fewer normal clips has none.
    """

    def key(i: int) -> tuple[float, float, str]:
        clip = clips[i]
        threshold = thresholds.get(clip.machine_id, np.inf)
        margin = clip.scores[rule] - (threshold if np.isfinite(threshold) else 0)
        return max(clip.p_value, lowest), -margin, clip.name

    return sorted(range(len(clips)), key=key)


def choose(
    clips: Sequence[ScoredClip],
    rule: str,
    thresholds: Mapping[str, float],
    alpha: float,
    lowest: float = 0.0,
) -> dict[int, str]:
    """Returns the places of the clips that are shown, and why each of them is.

    With labels they are the most anomalous clip, a normal one, a miss and a false alarm, as far as
    there are such clips; else those with the highest scores, and the median clip of a machine.

    Args:
        clips: The clips.
        rule: The rule of the scores.
        thresholds: As in `ranking`.
        alpha: The rate of false alarms that decisions allow.
        lowest: As in `ranking`.
    """
    order = ranking(clips, rule, thresholds, lowest)
    normal, anomalous = ([i for i in order if clips[i].label == label] for label in (0, 1))

    def median(among: Sequence[int], beside: int) -> int:
        own = [i for i in among if clips[i].machine_id == clips[beside].machine_id] or among
        return sorted(own, key=lambda i: clips[i].scores[rule])[len(own) // 2]

    if not anomalous:
        shown = dict.fromkeys(order[:HIGHEST], ONE_OF_THE_HIGHEST)
        if order:
            shown.setdefault(median(order, order[0]), MEDIAN)
        return shown
    chosen = [(anomalous[0], MOST_ANOMALOUS)]
    chosen += [(median(normal, anomalous[0]), NORMAL)] if normal else []
    chosen += [(i, MISS) for i in anomalous[-1:] if clips[i].p_value > alpha]
    chosen += [(i, FALSE_ALARM) for i in normal[:1] if clips[i].p_value <= alpha]
    shown = {}
    for i, why in chosen:
        shown.setdefault(i, why)
    return shown
