"""`--mode=score`: files in, a table of scores out."""

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from flowasd.config import RunConfig
from flowasd.data.audio import find_audio
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.results import FILE_COLUMNS, format_of


def score_files(
    workdir: Path,
    inputs: Sequence[str],
    machine_id: str | None,
    output: str | None,
    config: RunConfig | None = None,
) -> int:
    """Scores files and writes a row for each as it comes; errors go to standard error.

    Args:
        workdir: Folder of a run.
        inputs: Files, folders or globs.
        machine_id: The ID of all files; without it, each file's name tells.
        output: File to write, whose suffix decides the format; without it, CSV on standard output.
        config: Settings of the scoring; without it, those of the run.

    Returns:
        The exit status: 1 if a file could not be scored.

    Raises:
        UserError: If there is no checkpoint or no file, or `output` cannot be written.
    """
    if not inputs:
        raise UserError("nothing to score; name files, folders or globs with --input")
    rows = format_of(output)
    detector = Detector.load(workdir, config)
    if detector.kind == "SIMULATED":
        print("flowasd: this model was trained on SIMULATED recordings", file=sys.stderr)
    paths = find_audio(inputs)
    results = detector.score(paths, machine_id)
    failed = 0
    with _open_output(output) as stream:
        write = rows(stream, FILE_COLUMNS)
        for result in results:
            if result.error:
                print(f"flowasd: {result.error}", file=sys.stderr)
                failed += 1
            else:
                write((result.path, result.machine_id, result.score))
    if failed:
        print(f"flowasd: {failed} of {len(paths)} files were not scored", file=sys.stderr)
    return 1 if failed else 0


def _open_output(output: str | None) -> contextlib.AbstractContextManager[TextIO]:
    """The stream to write to; as in `write_text`, what cannot be encoded becomes "?"."""
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        return contextlib.nullcontext(sys.stdout)
    try:
        return Path(output).open("w", newline="", encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from error
