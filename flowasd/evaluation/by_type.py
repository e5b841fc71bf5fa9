"""The figures of several machine types together, each of which has a run of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowasd.evaluation.official import arithmetic_mean, harmonic_mean
from flowasd.files import write_csv
from flowasd.run.records import read_record

REMEDY = "evaluate the run again"


def write_by_type(workdir: Path, machine_types: Sequence[str]) -> str:
    """Writes result.csv: the official score of every machine type, and of all together.

    That of all is the mean over the figures of all types (2020: arithmetic; later: harmonic).

    Args:
        workdir: The folder that holds the run of every type, named after it.
        machine_types: The types that have been evaluated.

    Returns:
        The same table as text.

    Raises:
        UserError: If a run has no results.
    """
    found: list[dict[str, Any]] = [
        read_record(workdir / name / "results" / "summary.json", REMEDY) for name in machine_types
    ]
    official = [summary["official"] for summary in found]
    rows = [
        (name, own["edition"], summary["rule"], own["score"], summary["data"])
        for name, own, summary in zip(machine_types, official, found, strict=True)
    ]
    editions = {own["edition"] for own in official}
    mean = arithmetic_mean if editions == {2020} else harmonic_mean
    together = mean([value for own in official for value in own["values"]])
    rows.append(("all", "", "", together, ""))
    header = ("machine_type", "edition", "rule", "official_score", "data")
    cells = [["" if cell is None else cell for cell in row] for row in rows]
    write_csv(workdir / "result.csv", [header, *cells])
    lines = [f"{row[0]:<16}{_percent(row[3]):>8}" for row in rows]
    return "\n".join(["official score, %", *lines, f"Table: {workdir / 'result.csv'}"])


def _percent(score: float | None) -> str:
    return "no labels" if score is None else f"{100 * score:.1f}"
