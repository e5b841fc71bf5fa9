"""What the decisions of a detector are worth: how many test clips raise an alarm, and rightly."""

from collections.abc import Sequence
from typing import Any

from flowasd.detector import Detector
from flowasd.evaluation.examples import ScoredClip
from flowasd.scoring.decision import CROSS_FITTED, shortage, smallest_rate

LABELS = {"normal": 0, "anomalous": 1, "unlabelled": None}


def decisions(detector: Detector, clips: Sequence[ScoredClip], alpha: float) -> dict[str, Any]:
    """Counts the alarms among test clips.

    Args:
        detector: The detector that judged them.
        clips: The test clips.
        alpha: The rate of false alarms that a decision allows.

    Returns:
        `alpha`, and for every ID: how many normal clips its p-values are ranks among and of which
        `kind` they are, the lowest rate of false alarms that so many can bear, and the number of
        alarms and of clips among the normal, the anomalous and the unlabelled test clips.
    """
    machines, counts = {}, detector.normal_clips
    for machine_id in sorted({clip.machine_id for clip in clips}):
        own = [clip for clip in clips if clip.machine_id == machine_id]
        machines[machine_id] = {
            "normal_clips": counts[machine_id],
            "kind": detector.kind_of_p_values(machine_id),
            "smallest_rate": smallest_rate(counts[machine_id]),
        } | {name: _alarms(own, label, alpha) for name, label in LABELS.items()}
    return {"alpha": alpha, "machines": machines}


def _alarms(clips: Sequence[ScoredClip], label: int | None, alpha: float) -> dict[str, int]:
    p_values = [clip.p_value for clip in clips if clip.label == label]
    return {"alarms": sum(p <= alpha for p in p_values), "clips": len(p_values)}


def describe_decisions(found: dict[str, Any]) -> str:
    """Says in some lines what `decisions` has counted."""
    alpha, machines = found["alpha"], found["machines"]
    counted = []
    for name in LABELS:
        alarms, clips = (
            sum(m[name][key] for m in machines.values()) for key in ("alarms", "clips")
        )
        if clips:
            counted.append(f"{alarms} of {clips} {name}")
    lines = [
        f"Alarms where {100 * alpha:.3g} % of normal clips may raise one: "
        f"{', '.join(counted)} test clips."
    ]
    if any(m["kind"] == CROSS_FITTED and m["normal_clips"] for m in machines.values()):
        lines.append(
            "The p-values are cross-fitted: training clips show how high normal clips score, each "
            "by a flow that was trained without it. `flowasd calibrate` takes other normal clips."
        )
    counts = {machine_id: m["normal_clips"] for machine_id, m in machines.items()}
    short = shortage(counts, alpha)
    return "\n".join(lines + ([f"{short[0].upper()}{short[1:]}."] if short else []))
