"""Scoring of files, whole and in parts."""

from functools import partial
from pathlib import Path

import numpy as np

from experiments.speed.logmel_ours import log_mels_of
from experiments.speed.side import Tasks
from flowasd.band_detector import CLIPS_AT_ONCE
from flowasd.data.audio import read_audio, read_each
from flowasd.detector import Detector
from flowasd.scoring.rules import judge


def score_tasks(workdir: str, paths: list[str]) -> Tasks:
    """`score` scores files as `--mode=score` does; the others are its parts, each by itself.

    The files must be of one length.
    """
    detector = Detector.load(Path(workdir))
    files = [Path(path) for path in paths]
    ids = [result.machine_id for result in detector.results(files)]

    def decode() -> np.ndarray:
        clips = read_each(partial(read_audio, sample_rate=detector.frontend.sample_rate), files)
        return np.stack([clip for _, clip in clips if isinstance(clip, np.ndarray)])

    def front_end() -> np.ndarray:
        return log_mels_of(samples, detector.frontend)

    def flow() -> list:
        chunks = (slice(i, i + CLIPS_AT_ONCE) for i in range(0, len(ids), CLIPS_AT_ONCE))
        return [detector.clips(list(log_mels[chunk]), ids[chunk]) for chunk in chunks]

    calibration = detector.calibration
    assert calibration is not None  # as it was loaded
    samples = decode()
    log_mels = front_end()
    clips = flow()
    parts = {
        "decode": decode,
        "front-end": front_end,
        "flow": flow,
        "rules": lambda: [judge(some, calibration.normality) for some in clips],
    }
    whole = {"score": lambda: list(detector.results(files))}
    return {task: _without_value(run) for task, run in (whole | parts).items()}


def _without_value(run):
    def task() -> None:
        run()

    return task
