"""The table of all clips: which file has which score, and what was decided of it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from flowasd.evaluation.evaluate import Evaluation
from flowasd.evaluation.examples import ScoredClip, finest, ranking
from flowasd.report.plots import CLASSES
from flowasd.report.score_plots import wilson
from flowasd.report.words import BLANK, by_machine, count, interval

# What is said of a clip, by its label and whether it is an alarm.
OUTCOMES = {
    (0, False): "quiet, rightly",
    (0, True): "false alarm",
    (1, False): "missed",
    (1, True): "found",
    (None, False): "quiet",
    (None, True): "alarm",
}


class ClipRow(NamedTuple):
    """A row of the table; every value is a text."""

    file: str
    machine_id: str
    label: str
    score: str
    p_value: str
    outcome: str


def outcome(clip: ScoredClip, alpha: float) -> str:
    """Returns what is said of a clip where decisions allow a rate of false alarms."""
    return OUTCOMES[clip.label, clip.p_value <= alpha]


def clip_rows(evaluation: Evaluation) -> list[ClipRow]:
    """Returns a row for every clip, the most anomalous first."""
    lowest = finest(evaluation.summary["decisions"])
    order = ranking(evaluation.clips, evaluation.rule, evaluation.thresholds, lowest)
    rows = []
    for i in order:
        clip = evaluation.clips[i]
        score = f"{clip.scores[evaluation.rule]:#.6g}"
        said = outcome(clip, evaluation.alpha)
        label = CLASSES[clip.label]
        rows.append(
            ClipRow(evaluation.paths[i], clip.machine_id, label, score, f"{clip.p_value:.4g}", said)
        )
    return rows


def alarm_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Returns the heading and a row for every machine: its threshold, and alarms among its clips.

    A label that no clip has gets no column.
    """
    labels = [label for label in CLASSES if any(c.label == label for c in evaluation.clips)]
    names = ["Machine ID", "threshold", *(CLASSES[label] for label in labels), "ranked among"]
    rows = []
    for machine_id, own in by_machine(evaluation.clips).items():
        known = evaluation.summary["decisions"]["machines"].get(machine_id)
        rows.append(
            [
                machine_id,
                threshold_text(evaluation.thresholds.get(machine_id, math.inf)),
                *(alarms_among(own, label, evaluation.alpha) for label in labels),
                f"{known['normal_clips']} {known['kind']}" if known else BLANK,
            ]
        )
    return names, rows


def threshold_text(threshold: float) -> str:
    """Returns a threshold as a text; where there is none, no score raises an alarm."""
    return f"{threshold:.4g}" if math.isfinite(threshold) else "none"


def alarms_among(clips: Sequence[ScoredClip], label: int | None, alpha: float) -> str:
    """Returns how many clips of a label are alarms, in percent too; blank without such clips."""
    own = [clip for clip in clips if clip.label == label]
    if not own:
        return BLANK
    alarms = sum(clip.p_value <= alpha for clip in own)
    return f"{alarms} of {len(own)} ({interval(wilson(alarms, len(own)))} %)"


def alarm_words(clips: Sequence[ScoredClip], alpha: float) -> str:
    """Returns in words how many clips of every label are alarms."""
    parts = []
    for label, name in CLASSES.items():
        own = [clip for clip in clips if clip.label == label]
        if own:
            alarms = sum(clip.p_value <= alpha for clip in own)
            parts.append(f"{alarms} of {count(len(own), f'{name} clip')}")
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
