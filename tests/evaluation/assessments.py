"""Assessments as `--mode=assess` writes them, with figures that tests choose."""

from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

from flowasd.evaluation.assess import BLEND, SEVERITIES
from flowasd.evaluation.faults import FAULTS
from flowasd.scoring.rules import RULES

HEADER = "stand_in,severity,rule,auc,pauc"


def rows(
    auc: Callable[[str, float, str], float] = lambda stand_in, severity, rule: 0.5,
    *,
    blend: bool = True,
    rules: Iterable[str] = RULES,
) -> list[str]:
    """A row for each stand-in, severity and rule."""
    stand_ins = [*FAULTS, BLEND] if blend else [*FAULTS]
    return [
        f"{stand_in},{severity},{rule},{auc(stand_in, severity, rule)},0.5"
        for stand_in, severity, rule in product(stand_ins, SEVERITIES, rules)
    ]


def write_assessment(path: Path, lines: list[str] | None = None) -> None:
    """Writes rows below the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *(rows() if lines is None else lines)]) + "\n")
