"""Runs every method on every fold and seed, and writes the tables.

python -m experiments.slider_fewshot --data=DIR/slider [--methods slider slider_best gmm …]
    [--folds=0,1] [--seeds=0]

A method is a config's name or a baseline's. A run that is done is not done again, one that was cut
off goes on where it was.
"""

import argparse
import importlib
from pathlib import Path

from experiments.baselines.methods import METHODS
from experiments.baselines.run import run_baseline
from experiments.runs import command, numbers, run
from experiments.slider_fewshot.ensemble import averaged_over_seeds
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold
from experiments.slider_fewshot.pictures import draw_distributions, draw_rocs
from experiments.slider_fewshot.tables import by_fold, by_machine, figures_of, write_figures
from flowasd.scoring.rules import SCORES

# The rule that a method's ROC curve is drawn for; for the baselines their best.
RULES = {"slider_best": "combined", "mahalanobis": "mean+std+max", "knn": "mean+std+max"}
RULES |= {"discriminant": "own", "gmm": "std", "autoencoder": "std", "maf": "std"}


def run_method(name: str, data: Path, workdir: Path, seed: int) -> dict:
    """Runs a baseline, or else the config of that name; returns the run's summary."""
    if name in METHODS:
        return run_baseline(name, data, workdir, seed)
    return run(importlib.import_module(f"configs.{name}").get_config(), data, workdir, seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.slider_fewshot")
    parser.add_argument("--data", type=Path, required=True, help="development set: slider/")
    parser.add_argument("--methods", nargs="+", default=["slider", "slider_best", *METHODS])
    parser.add_argument("--folds", type=numbers, default=list(range(FOLDS)))
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--workdir", type=Path, default=Path("runs/slider_fewshot"))
    args = parser.parse_args()
    figures, runs, averaged = [], {}, []
    for name in args.methods:
        seconds = []
        for seed in args.seeds:
            for fold in args.folds:
                data = lay_out_fold(args.data, fold, args.workdir / "folds")
                workdir = args.workdir / name / f"fold{fold}_seed{seed}"
                summary = run_method(name, data, workdir, seed)
                figures += figures_of(summary, name, fold, seed)
                seconds.append(summary["times"]["train_s"])
                runs.setdefault(name, {}).setdefault(fold, []).append(workdir)
        print(f"{name}: training takes {min(seconds):.0f} to {max(seconds):.0f} s a run")
        if len(args.seeds) > 1 and name not in METHODS:
            averaged += averaged_over_seeds(f"{name}, seeds averaged", runs[name], SCORES)
    figures += averaged
    write_figures(args.workdir / "results.csv", figures)
    tables = f"{by_machine(figures)}\n\n{by_fold(figures)}\n"
    (args.workdir / "tables.md").write_text(tables)
    rules = {name: RULES.get(name, "mean") for name in runs}
    folders = {
        name: [run for own in of_fold.values() for run in own] for name, of_fold in runs.items()
    }
    draw_rocs(args.workdir / "roc.svg", folders, rules)
    for name, own in folders.items():
        draw_distributions(args.workdir / f"scores_{name}.svg", own, rules[name])
    print(tables)


if __name__ == "__main__":
    command(main)
