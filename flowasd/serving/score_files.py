"""`--mode=score`: files in, a table of scores out."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.data.audio import find_audio
from flowasd.detector import Detector
from flowasd.errors import UntoldMachine, UserError, in_one_line
from flowasd.evaluation.results import FILE_COLUMNS, file_row, format_of, is_stdout
from flowasd.files import refuse_overwriting, writing
from flowasd.scoring.decision import discoveries


def score_files(
    workdir: Path,
    inputs: Sequence[str],
    machine_id: str | None,
    output: str | None,
    config: RunConfig | None = None,
    alpha: float | None = None,
    fdr: float | None = None,
) -> int:
    """Scores files and writes a row for each as it comes; errors go to standard error.

    The files of which nothing tells the machine ID share one line, after the last row.

    Args:
        workdir: Folder of a run.
        inputs: Files, folders or globs.
        machine_id: The ID of all files; without it, each file's name tells.
        output: File to write, whose suffix decides the format; `"-"` and `"-.jsonl"` stand for
            standard output. Without it, CSV goes to standard output.
        config: Settings of the scoring; without it, those of the run.
        alpha: Rate of false alarms that a decision allows; without it, that of the settings.
        fdr: Share of false alarms among the alarms of all files that decisions allow instead. The
            rows are then written after the last file.

    Returns:
        The exit status: 1 if a file could not be scored.

    Raises:
        UserError: If there is no checkpoint or no file, or `output` cannot be written or
            is one of the files.
    """
    if not inputs:
        raise UserError("nothing to score; name files, folders or globs with --input")
    rows, paths = format_of(output), find_audio(inputs)
    if output is not None and not is_stdout(output):
        refuse_overwriting([Path(output), _partial(output)], paths)
    detector = Detector.load(workdir, config)
    if detector.kind == "SIMULATED":
        print("flowasd: this model was trained on SIMULATED recordings", file=sys.stderr)
    # Rows on a terminal show the progress themselves.
    hidden = True if fdr is None and is_stdout(output) and sys.stdout.isatty() else None
    scored = detector.results(paths, machine_id)
    results = tqdm(scored, "score", len(paths), unit="file", disable=hidden)
    if fdr is not None:
        results = list(results)
        p = np.array([result.p_value for result in results if not result.error])
        alpha = float(p[discoveries(p, fdr)].max(initial=0))
    elif short := detector.shortage(alpha):
        print(f"flowasd: {short}", file=sys.stderr)
    alpha = detector.config.score.alpha if alpha is None else alpha
    failed, untold = 0, []
    with _open_output(output) as stream:
        write = rows(stream, FILE_COLUMNS)
        for result in results:
            if result.error:
                failed += 1
                if isinstance(result.error, UntoldMachine):
                    untold.append(result.error)
                else:
                    print(f"flowasd: {result.error}", file=sys.stderr)
                continue
            if result.warning:
                print(f"flowasd: warning: {result.warning}", file=sys.stderr)
            write(file_row(result, alpha))
    if untold:
        print(f"flowasd: {in_one_line(untold)}", file=sys.stderr)
    if failed:
        print(f"flowasd: {failed} of {len(paths)} files were not scored", file=sys.stderr)
    return 1 if failed else 0


def _partial(output: str) -> Path:
    """The name of a file that does not have all rows yet."""
    return Path(f"{output}.partial")


@contextlib.contextmanager
def _open_output(output: str | None) -> Iterator[TextIO]:
    """The stream to write to; as in `write_text`, what cannot be encoded becomes "?".

    A file is called NAME.partial until the last row is in it; every row is in it at once.
    """
    if output is None or is_stdout(output):
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        yield sys.stdout
        return
    path = Path(output)
    is_device = path.exists() and not path.is_file()  # such as /dev/null
    partial = path if is_device else _partial(output)
    try:
        stream = partial.open("w", 1, newline="", encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from error
    with writing(partial), stream:  # a file that cannot be scored raises no OSError
        yield stream
    if not is_device:
        os.replace(partial, path)
