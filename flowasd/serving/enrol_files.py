"""`--mode=enrol`: adds a machine to a trained run from some of its recordings."""

import re
from collections.abc import Sequence
from pathlib import Path

from flowasd.config import RunConfig
from flowasd.data.audio import find_audio
from flowasd.detector import Detector
from flowasd.enrolling import enrolment
from flowasd.errors import UserError
from flowasd.features.hearing import hear_all
from flowasd.run.calibration_file import calibration_key
from flowasd.run.enrolment_file import Enrolment, save_enrolment
from flowasd.run.workdir import copy_run


def enrol_files(
    workdir: Path,
    inputs: Sequence[str],
    machine_id: str | None,
    output: str | None,
    config: RunConfig | None = None,
) -> str:
    """Adds a machine, or replaces one that was added before; nothing is trained.

    Args:
        workdir: Folder of a run.
        inputs: Files, folders or globs: normal recordings of the new machine.
        machine_id: Its ID.
        output: Folder that takes a copy of the run with the machine in it; without it, the run
            itself takes the machine.
        config: Settings of the scoring; without it, those of the run.

    Returns:
        The text to print.

    Raises:
        UserError: If there is no checkpoint or no file, a file cannot be read, the ID was trained
            on, the flow cannot take one more, or `output` is not empty.
    """
    if not inputs:
        raise UserError("nothing to enrol; name recordings of the machine with --input")
    if machine_id is None or not re.fullmatch(r"[\w-]+", machine_id):
        raise UserError("name the new machine with --machine_id, such as --machine_id=id_08")
    detector = Detector.load(workdir, config)
    paths = find_audio(inputs)
    heard = {
        own.recording: own.bands for own in hear_all(paths, detector.frontend, detector.config.data)
    }
    row = enrolment(detector, [*heard.values()], machine_id)
    folder = run_to_change(workdir, output)
    key = calibration_key(detector.config, detector.step)
    save_enrolment(folder, machine_id, Enrolment(row, tuple(heard)), key)
    count, verb = len(heard), "replaced" if machine_id in detector.enrolled else "enrolled"
    recordings = f"{count} recording{'s' if count > 1 else ''}"
    return (
        f"{machine_id} is {verb} in {folder}, from {recordings}.\n"
        f"One in {count + 1} normal recordings is expected to score above all of these: they "
        "support no threshold with fewer false alarms."
    )


def run_to_change(workdir: Path, output: str | None) -> Path:
    """Returns the run itself, or a copy of it in the folder `output`, which must be empty."""
    if output is None:
        return workdir
    folder = Path(output)
    copy_run(workdir, folder)
    return folder
