"""Every table that flowasd writes: the results of a run, and the scores of single files.

To add an output format of `--mode=score`, write a function like `write_jsonl_rows` and add a line
to `FORMATS`.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from flowasd.errors import UserError
from flowasd.evaluation.evaluate import Evaluation
from flowasd.evaluation.examples import ScoredClip
from flowasd.evaluation.official import arithmetic_mean, harmonic_mean
from flowasd.file_results import Result
from flowasd.files import csv_line, write_csv
from flowasd.run.records import write_record
from flowasd.scoring.rules import RULES

FILE_COLUMNS = ("path", "machine_id", "score", "p_value", "decision")  # of `--mode=score`


def file_row(result: Result, alpha: float) -> tuple[object, ...]:
    """Returns the values of `FILE_COLUMNS`; the decision is 1 for an alarm."""
    decision = int(result.p_value <= alpha)
    return result.path, result.machine_id, result.score, result.p_value, decision


WriteRow = Callable[[Sequence[object]], object]


@runtime_checkable
class Stream(Protocol):
    """What text can be written to, such as an open file."""

    def write(self, text: str, /) -> object:
        """Writes a piece of text."""
        ...


def write_csv_rows(stream: Stream, columns: Sequence[str]) -> WriteRow:
    """Writes a CSV header and returns what writes a row."""
    stream.write(csv_line(columns))
    return lambda row: stream.write(csv_line(row))


def write_jsonl_rows(stream: Stream, columns: Sequence[str]) -> WriteRow:
    """Returns what writes a row as a JSON object on a line of its own."""

    def write(row: Sequence[object]) -> None:
        plain = [value if isinstance(value, int | float | str) else str(value) for value in row]
        stream.write(json.dumps(dict(zip(columns, plain, strict=True))) + "\n")

    return write


# By the suffix of `--output`; each takes a stream and the columns, and returns what writes a row.
FORMATS: dict[str, Callable[[Stream, Sequence[str]], WriteRow]] = {
    ".csv": write_csv_rows,
    ".jsonl": write_jsonl_rows,
}


def is_stdout(output: str | None) -> bool:
    """Whether an `--output` is standard output: there is none, or it is `-` or `-` and a suffix."""
    return output is None or output.removesuffix(Path(output).suffix) == "-"


def format_of(output: str | None) -> Callable[[Stream, Sequence[str]], WriteRow]:
    """Returns the format of an `--output` by its suffix; standard output without one is CSV.

    Raises:
        UserError: If no format has the suffix.
    """
    suffix = Path(output).suffix.lower() if output not in (None, "-") else ".csv"
    if suffix not in FORMATS:
        raise UserError(f"{output}: the suffix is none of {', '.join(FORMATS)}; name another file")
    return FORMATS[suffix]


def write_results(folder: Path, evaluation: Evaluation) -> None:
    """Writes `results/`: the evaluator's CSVs, all scores, and the summary."""
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    for kind in ("anomaly_score", "decision_result"):  # the evaluator counts these files
        for stale in results.glob(f"{kind}_*.csv"):
            stale.unlink()
    rule, machine_type = evaluation.rule, evaluation.summary["machine_type"]
    above = evaluation.gamma_thresholds
    for part, own in _parts(evaluation).items():
        place = f"{machine_type}_{part}.csv"
        write_csv(results / f"anomaly_score_{place}", [(c.name, c.scores[rule]) for c in own])
        decisions = [(c.name, int(c.scores[rule] > above[c.machine_id])) for c in own]
        write_csv(results / f"decision_result_{place}", decisions)
    write_csv(results / "scores.csv", _score_rows(evaluation))
    write_csv(results / "result.csv", _metric_rows(evaluation))
    write_record(results / "summary.json", evaluation.summary)


def _parts(evaluation: Evaluation) -> dict[str, list[ScoredClip]]:
    """The clips of every file that the evaluator reads, by what its name ends with."""
    edition, parts = evaluation.summary["official"]["edition"], {}
    for clip in evaluation.clips:
        ends = {2020: "", 2021: f"_{clip.domain}_test", 2022: "_test"}
        parts.setdefault(clip.group + ends[edition], []).append(clip)
    return dict(sorted(parts.items()))


def _score_rows(evaluation: Evaluation) -> list[tuple[object, ...]]:
    """A row for each clip; the label is empty where it is unknown."""
    header = ("path", "machine_id", "label", "score", "p_value", "decision", *RULES, "data")
    rows = [
        (
            path,
            c.machine_id,
            "" if c.label is None else c.label,
            c.scores[evaluation.rule],
            c.p_value,
            int(c.p_value <= evaluation.alpha),
            *(c.scores[rule] for rule in RULES),
            evaluation.kind,
        )
        for path, c in zip(evaluation.paths, evaluation.clips, strict=True)
    ]
    return [header, *rows]


def _metric_rows(evaluation: Evaluation) -> list[tuple[object, ...]]:
    """The rows of result.csv as the DCASE evaluator writes them; simulated data are marked."""
    table, machine_type = evaluation.official, evaluation.summary["machine_type"]
    heading = (machine_type, "SIMULATED") if evaluation.kind == "SIMULATED" else (machine_type,)
    rows = [
        (names[0].removeprefix("id_").removeprefix("section_"), *names[1:], *_cells(values))
        for names, values in table.rows.items()
        if any(value is not None for value in values)
    ]
    means = {"arithmetic mean": arithmetic_mean, "harmonic mean": harmonic_mean}
    means = means if table.harmonic else {"Average": arithmetic_mean}
    blank = [""] * (len(table.names) - 1)
    ends = [(name, *blank, *_cells(table.means(mean))) for name, mean in means.items()]
    return [heading, (*table.names, *table.columns), *rows, *(ends if rows else [])]


def _cells(values: Sequence[float | None]) -> list[float | str]:
    return ["" if value is None else value for value in values]
