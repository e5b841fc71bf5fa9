"""Delays on real recordings: a machine that is normal at first, then anomalous."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.alarm.simulated import NEVER
from experiments.runs import run
from flowasd.detector import Detector
from flowasd.evaluation.evaluate import evaluate
from flowasd.scoring.stream_test import Stream, after_alarm, begin, is_alarm, observe

AFTER = 20  # clips after the change; an alarm that has not come by then counts as never


class Scored(NamedTuple):
    """Scores of the test clips of one machine ID, and what its p-values are ranks among.

    Attributes:
        calibration: Scores of the calibration clips.
        normal: Scores of the normal test clips.
        anomalous: Scores of the anomalous test clips.
    """

    calibration: np.ndarray
    normal: np.ndarray
    anomalous: np.ndarray


class Delay(NamedTuple):
    """What one stream gave.

    Attributes:
        clips: Clips after the change until the alarm, from 1; `NEVER` if there was none in time.
        false_alarms: Alarms before the change.
        normal_clips: Clips before the change.
    """

    clips: int
    false_alarms: int
    normal_clips: int


def scored(config: ConfigDict, data: Path, workdir: Path, seed: int) -> dict[str, Scored]:
    """Trains a config on one fold, if that was not done before, and scores the fold's test clips.

    Returns:
        The scores by the configured rule, of every machine ID.
    """
    run(config, data, workdir, seed)
    detector, evaluation = Detector.load(workdir), evaluate(workdir, illustrated=False)
    own: dict[str, dict[int | None, list[float]]] = {}
    for clip in evaluation.clips:
        labels = own.setdefault(clip.machine_id, {0: [], 1: []})
        labels[clip.label].append(clip.scores[evaluation.rule])
    return {
        m: Scored(detector.normal_scores(m), np.array(labels[0]), np.array(labels[1]))
        for m, labels in own.items()
    }


def delays(own: Scored, every: float, streams: int, seed: int) -> list[Delay]:
    """Watches streams of the normal test clips, then of anomalous ones, each in a random order.

    Args:
        own: Scores of one machine ID.
        every: As `false_alarm_every` of `is_alarm`.
        streams: Number of streams.
        seed: Seed of their orders, and of how ties are broken.
    """
    rng, found = np.random.default_rng(seed), []
    for i in range(streams):
        stream = begin(f"{seed}/{i}", own.calibration)
        false_alarms = 0
        for score in rng.permutation(own.normal):
            stream, alarm = _next(stream, score, every)
            false_alarms += alarm
        clips = NEVER
        for after, score in enumerate(rng.permutation(own.anomalous)[:AFTER], 1):
            stream, alarm = _next(stream, score, every)
            if alarm:
                clips = after
                break
        found.append(Delay(clips, false_alarms, len(own.normal)))
    return found


def _next(stream: Stream, score: float, every: float) -> tuple[Stream, bool]:
    stream = observe(stream, float(score))
    alarm = is_alarm(stream.log_evidence, float(every))
    return after_alarm(stream) if alarm else stream, alarm
