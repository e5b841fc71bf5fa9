"""Measures flowasd beside its peers on this machine and writes the table.

python -m experiments.speed [--quick] [--only=logmel,image] [--data=DIR/slider]

The peers are the extra `bench`; one that is not installed is named and left out.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from absl import flags

from experiments.runs import command
from experiments.speed import auc, files, flows, growth, logmel, startup, whole
from experiments.speed.machine import description
from experiments.speed.tables import Row, table, write_rows
from flowasd.errors import UserError

PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "logmel": lambda: logmel.measure(rounds(20)),
    "image": lambda: flows.measure("image", rounds(9)),
    "mel": lambda: flows.measure("mel", rounds(9)),
    "files": lambda: files.measure(Path(WORKDIR.value), DATA.value, rounds(9)),
    "startup": lambda: startup.measure(Path(WORKDIR.value, "mel"), DATA.value, rounds(4)),
    "growth": growth.measure,
    "run": lambda: whole.measure(DATA.value),
    "auc": lambda: auc.measure(DATA.value),
}
ON_DATA = {"run", "auc"}  # parts that take a labelled data set, and much time

QUICK = flags.DEFINE_bool("quick", False, "Fewer rounds, no growth; under three minutes.")
DATA = flags.DEFINE_string("data", "", "Data set of the files; if empty, the built-in corpus.")
ONLY = flags.DEFINE_list("only", None, f"Parts to measure, of {', '.join(PARTS)}.")
WORKDIR = flags.DEFINE_string("workdir", "runs/speed", "Folder of the table.")


def rounds(full: int) -> int:
    """Returns how many rounds to measure."""
    return max(1, full // 4) if QUICK.value else full


def chosen_parts() -> list[str]:
    """Returns the parts that the flags name.

    Raises:
        UserError: If there is no such part, or it takes a data set and none is named.
    """
    left_out = ON_DATA | {"growth"} if QUICK.value else ON_DATA
    only = ONLY.value or [part for part in PARTS if part not in left_out]
    if unknown := [part for part in only if part not in PARTS]:
        raise UserError(f"--only: {unknown[0]} is none of {', '.join(PARTS)}")
    if ON_DATA & {*only} and not DATA.value:
        raise UserError("run and auc need labelled recordings; name a data set with --data")
    return only


def main() -> None:
    only, rows, workdir = chosen_parts(), [], Path(WORKDIR.value)
    print(f"{description()}\n")
    for part in only:
        own = list(PARTS[part]())
        print(f"{table(own)}\n", flush=True)
        rows += own
    workdir.mkdir(parents=True, exist_ok=True)
    write_rows(workdir / "results.json", rows)
    (workdir / "tables.md").write_text(f"{description()}\n\n{table(rows)}\n")


if __name__ == "__main__":
    command(main)
