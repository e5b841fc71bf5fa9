"""Trains and evaluates configs on every fold and seed, and writes the tables.

python -m experiments.slider_fewshot --data=DIR/slider [--config slider …] [--folds=0,1] [--seeds=0]

A run that is done is not done again, one that was cut off goes on where it was.
"""

import argparse
import csv
import importlib
import json
from pathlib import Path

from experiments.slider_fewshot.folds import FOLDS, lay_out_fold
from experiments.slider_fewshot.tables import Figure, by_fold, by_machine
from flowasd.evaluate import evaluate, write_evaluation_report, write_results
from flowasd.train import train


def run(name: str, data: Path, workdir: Path, seed: int) -> dict:
    """Trains and evaluates one config on one fold with one seed; returns the run's summary."""
    summary = workdir / "results" / "summary.json"
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.root = str(data)
    config.seed = seed
    train(config, workdir)  # returns at once where it is done, refuses another config's run
    if not summary.exists():
        evaluation = evaluate(workdir)
        write_evaluation_report(workdir, evaluation, workdir)
        write_results(workdir, evaluation)
    return json.loads(summary.read_text())


def figures_of(summary: dict, name: str, fold: int, seed: int) -> list[Figure]:
    return [
        Figure(name, fold, seed, rule, machine_id, row["auc"], row["pauc"])
        for rule, rows in summary["metrics"].items()
        for machine_id, row in rows.items()
    ]


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.slider_fewshot")
    parser.add_argument("--data", type=Path, required=True, help="development set: slider/")
    parser.add_argument("--config", nargs="+", default=["slider"], help="names in configs/")
    parser.add_argument("--folds", type=numbers, default=list(range(FOLDS)))
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--workdir", type=Path, default=Path("runs/slider_fewshot"))
    args = parser.parse_args()
    figures, seconds = [], []
    for name in args.config:
        for seed in args.seeds:
            for fold in args.folds:
                data = lay_out_fold(args.data, fold, args.workdir / "folds")
                workdir = args.workdir / name / f"fold{fold}_seed{seed}"
                summary = run(name, data, workdir, seed)
                figures += figures_of(summary, name, fold, seed)
                seconds.append(summary["times"]["train_s"])
    with (args.workdir / "results.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(Figure._fields)
        rows.writerows(figures)
    tables = f"{by_machine(figures)}\n\n{by_fold(figures)}\n"
    (args.workdir / "tables.md").write_text(tables)
    print(tables)
    print(f"training: {min(seconds):.0f} to {max(seconds):.0f} s a run")


if __name__ == "__main__":
    main()
