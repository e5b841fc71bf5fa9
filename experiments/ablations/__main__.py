"""Trains every variant on some folds and writes what each change does.

python -m experiments.ablations --data=DIR/slider [--variants NAME …] [--folds=0,4] [--seeds=0]

A run that is done is not done again, one that was cut off goes on where it was.
"""

import argparse
from pathlib import Path

from experiments.ablations.variants import VARIANTS, variant
from experiments.runs import command, numbers, run
from experiments.slider_fewshot.folds import lay_out_fold
from experiments.slider_fewshot.tables import by_machine, figures_of, write_figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.ablations")
    parser.add_argument("--data", type=Path, required=True, help="development set: slider/")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--folds", type=numbers, default=[0, 4])
    parser.add_argument("--seeds", type=numbers, default=[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/ablations"))
    args = parser.parse_args()
    figures = []
    for fold in args.folds:
        data = lay_out_fold(args.data, fold, args.workdir / "folds")
        for name in args.variants:
            for seed in args.seeds:
                folder = args.workdir / name.replace(" ", "_") / f"fold{fold}_seed{seed}"
                figures += figures_of(run(variant(name), data, folder, seed), name, fold, seed)
    write_figures(args.workdir / "results.csv", figures)
    table = by_machine(figures)
    (args.workdir / "tables.md").write_text(f"{table}\n")
    print(table)


if __name__ == "__main__":
    command(main)
