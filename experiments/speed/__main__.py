"""Measures flowasd beside its peers on this machine and writes the table.

python -m experiments.speed [--quick] [--only logmel image …] [--data=DIR/slider]

The peers are the extra `bench`; one that is not installed is named and left out.
"""

import argparse
from pathlib import Path

from experiments.speed import auc, files, flows, growth, logmel, startup, whole
from experiments.speed.machine import description
from experiments.speed.tables import table, write_rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.speed")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, no growth; under three minutes"
    )
    parser.add_argument("--data", default="", help="data set of file to score; none: built in")
    parser.add_argument("--workdir", type=Path, default=Path("runs/speed"))
    parts = {
        "logmel": lambda: logmel.measure(rounds(20)),
        "image": lambda: flows.measure("image", rounds(9)),
        "mel": lambda: flows.measure("mel", rounds(9)),
        "files": lambda: files.measure(args.workdir / "run", args.data, rounds(9)),
        "startup": lambda: startup.measure(args.workdir / "run", args.data, rounds(4)),
        "growth": growth.measure,
        "run": lambda: whole.measure(args.data),
        "auc": lambda: auc.measure(args.data),
    }
    parser.add_argument("--only", nargs="+", choices=parts)
    args = parser.parse_args()
    on_data = {"run", "auc"}  # which take a labelled data set and its time
    left_out = on_data | {"growth"} if args.quick else on_data
    only = args.only or [part for part in parts if part not in left_out]
    if on_data & {*only} and not args.data:
        parser.error("run and auc need labelled recordings; name a data set with --data")

    def rounds(full: int) -> int:
        return max(1, full // 4) if args.quick else full

    rows = []
    print(f"{description()}\n")
    for part in only:
        own = list(parts[part]())
        print(f"{table(own)}\n", flush=True)
        rows += own
    args.workdir.mkdir(parents=True, exist_ok=True)
    write_rows(args.workdir / "results.json", rows)
    (args.workdir / "tables.md").write_text(f"{description()}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
