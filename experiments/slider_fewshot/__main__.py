"""Runs every method on every fold and seed, and writes the tables.

python -m experiments.slider_fewshot --data=DIR/slider [--methods=slider,slider_best,gmm]
    [--folds=0,1] [--seeds=0]

A method is a config's name or a baseline's. A run that is done is not done again, one that was cut
off goes on where it was.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.baselines.methods import METHODS
from experiments.baselines.run import run_baseline
from experiments.runs import command, numbers, run
from experiments.slider_fewshot.ensemble import averaged_over_seeds
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold
from experiments.slider_fewshot.pictures import draw_distributions, draw_rocs
from experiments.slider_fewshot.tables import by_fold, by_machine, figures_of, write_figures
from flowasd.errors import UserError
from flowasd.scoring.rules import RULES

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.", required=True)
METHOD_NAMES = flags.DEFINE_list(
    "methods",
    ["slider", "slider_best", *METHODS],
    f"Names of configs, and of the baselines {', '.join(METHODS)}.",
)
FOLD_NUMBERS = flags.DEFINE_list("folds", [*map(str, range(FOLDS))], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every method on every fold.")
WORKDIR = flags.DEFINE_string("workdir", "runs/slider_fewshot", "Folder of runs and tables.")

# The rule that a method's ROC curve is drawn for; for the baselines their best.
DRAWN = {"slider_best": "combined", "mahalanobis": "mean+std+max", "knn": "mean+std+max"}
DRAWN |= {"discriminant": "own", "gmm": "std", "autoencoder": "std", "maf": "std"}


def run_method(name: str, data: Path, workdir: Path, seed: int) -> dict[str, Any]:
    """Runs a baseline, or else the config of that name; returns the run's summary."""
    if name in METHODS:
        return run_baseline(name, data, workdir, seed)
    return run(importlib.import_module(f"configs.{name}").get_config(), data, workdir, seed)


def check_methods(names: list[str]) -> None:
    """Raises a `UserError` if a name is neither that of a baseline nor that of a config."""
    for name in names:
        if name not in METHODS and importlib.util.find_spec(f"configs.{name}") is None:
            raise UserError(f"--methods: {name} is no baseline, and there is no configs/{name}.py")


def main() -> None:
    check_methods(METHOD_NAMES.value)
    folds, seeds, top = numbers(FOLD_NUMBERS), numbers(SEEDS), Path(WORKDIR.value)
    figures, runs, averaged = [], {}, []
    for name in METHOD_NAMES.value:
        seconds = []
        for seed in seeds:
            for fold in folds:
                data = lay_out_fold(Path(DATA.value), fold, top / "folds")
                workdir = top / name / f"fold{fold}_seed{seed}"
                summary = run_method(name, data, workdir, seed)
                figures += figures_of(summary, name, fold, seed)
                seconds.append(summary["times"]["train_s"])
                runs.setdefault(name, {}).setdefault(fold, []).append(workdir)
        print(f"{name}: training takes {min(seconds):.0f} to {max(seconds):.0f} s a run")
        if len(seeds) > 1 and name not in METHODS:
            averaged += averaged_over_seeds(f"{name}, seeds averaged", runs[name], [*RULES])
    figures += averaged
    write_figures(top / "results.csv", figures)
    tables = f"{by_machine(figures)}\n\n{by_fold(figures)}\n"
    (top / "tables.md").write_text(tables)
    draw_pictures(top, runs)
    print(tables)


def draw_pictures(folder: Path, runs: Mapping[str, Mapping[int, Sequence[Path]]]) -> None:
    """Draws the ROC curves of all methods, and the scores of each; `runs` has them by fold."""
    rules = {name: DRAWN.get(name, "mean") for name in runs}
    folders = {name: [run for own in folds.values() for run in own] for name, folds in runs.items()}
    draw_rocs(folder / "roc.svg", folders, rules)
    for name, own in folders.items():
        draw_distributions(folder / f"scores_{name}.svg", own, rules[name])


if __name__ == "__main__":
    command(main)
