"""`--mode=calibrate`: other normal recordings take over what p-values are ranks among."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowasd.config import RunConfig
from flowasd.data.audio import find_audio
from flowasd.data.clips import Clip
from flowasd.data.machine_ids import full_id, told_id
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.features.hearing import hear_all
from flowasd.run.calibration_file import (
    CalibrationFile,
    calibration_key,
    load_calibration,
    save_calibration,
)
from flowasd.run.enrolment_file import load_enrolments, save_enrolment
from flowasd.run.splits import KEPT, refuse_seen
from flowasd.scoring.decision import HELD_OUT, NormalScores, smallest_rate
from flowasd.scoring.rules import RULES
from flowasd.serving.enrol_files import run_to_change


def calibrate_files(
    workdir: Path,
    inputs: Sequence[str],
    machine_id: str | None,
    output: str | None,
    config: RunConfig | None = None,
) -> str:
    """Calibrates the decisions of the machines that recordings are of; their scores stay.

    The recordings replace what the p-values of these machines were ranks among before. The
    detector has not seen them, so the bound on false alarms holds exactly.

    Args:
        workdir: Folder of a run.
        inputs: Files, folders or globs: normal recordings.
        machine_id: The ID of all files; without it, each file's name tells.
        output: Folder that takes a copy of the run with the calibration; without it, the run
            itself takes it.
        config: Settings of the scoring; without it, those of the run.

    Returns:
        The text to print.

    Raises:
        UserError: If there is no checkpoint or no file, a file cannot be read, an ID is unknown,
            the run has seen a recording before, or `output` is not empty.
    """
    if not inputs:
        raise UserError("nothing to calibrate by; name normal recordings with --input")
    detector = Detector.load(workdir, config)
    paths = find_audio(inputs)
    given = full_id(machine_id, detector.known_ids) if machine_id else None
    ids = [given or told_id(path, detector.known_ids, detector.config.data) for path in paths]
    heard, bands = {}, []
    sounds = hear_all(paths, detector.frontend, detector.config.data)
    for path, own, clip in zip(paths, ids, sounds, strict=True):
        if clip.recording not in heard:
            heard[clip.recording] = Clip(path, own, 0)
            bands.append(clip.bands)
    clips = [*heard.values()]
    refuse_seen(workdir, clips, [*heard], [*KEPT, "test"])
    judged = detector.judge(bands, [clip.machine_id for clip in clips])
    scores = np.array([[own.scores[rule] for rule in RULES] for own in judged])
    folder = run_to_change(workdir, output)
    key = calibration_key(detector.config, detector.step)
    counts = {}
    for own in dict.fromkeys(clip.machine_id for clip in clips):
        some = np.array([clip.machine_id == own for clip in clips])
        digests = [d for d, mine in zip(heard, some, strict=True) if mine]
        _replace(folder, detector, own, scores[some], digests, key)
        counts[own] = len(digests)
    return "\n".join(
        f"The p-values of {own} are ranks among {count} normal recordings; the lowest rate of "
        f"false alarms that they allow is {100 * smallest_rate(count):.2g} %."
        for own, count in counts.items()
    )


def _replace(
    folder: Path,
    detector: Detector,
    machine_id: str,
    scores: np.ndarray,
    digests: Sequence[str],
    key: str,
) -> None:
    """Writes the scores of normal clips of one machine where those of the run are kept."""
    calibration, recordings = load_calibration(folder, key)
    if machine_id in detector.machine_ids:
        machine = detector.machine_ids.index(machine_id)
        new = NormalScores(scores, np.full(len(scores), machine))
        kinds = [*calibration.kinds]
        kinds[machine] = HELD_OUT
        normal = calibration.normal.without(machine).joined(new)
        calibration = calibration._replace(normal=normal, kinds=tuple(kinds))
    else:
        enrolment = load_enrolments(folder, key)[machine_id]
        row = enrolment.row._replace(normal=scores, kind=HELD_OUT)
        save_enrolment(folder, machine_id, enrolment._replace(row=row), key)
    others = {digest: own for digest, own in recordings.items() if own != machine_id}
    recordings = others | dict.fromkeys(digests, machine_id)
    save_calibration(folder, CalibrationFile(calibration, recordings), key)
