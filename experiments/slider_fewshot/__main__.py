"""Runs every method on every fold and seed, and writes the tables.

python -m experiments.slider_fewshot --data=DIR/slider [--methods=slider,slider_best,gmm]
    [--machines=one] [--folds=0,1] [--seeds=0]

A method is a config's name or a baseline's. A run that is done is not done again, one that was cut
off goes on where it was.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.baselines.methods import METHODS, SEVERAL_IDS
from experiments.baselines.run import run_baseline
from experiments.runs import command, config_named, numbers, run
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold, machine_ids
from experiments.slider_fewshot.pictures import draw_distributions, draw_rocs, scores_of
from experiments.slider_fewshot.tables import (
    Figure,
    average_of_ids,
    by_fold,
    by_machine,
    figures_of,
    write_figures,
)
from flowasd.errors import UserError

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.", required=True)
METHOD_NAMES = flags.DEFINE_list(
    "methods",
    None,
    f"Names of configs, and of the baselines {', '.join(METHODS)}. By default slider, slider_best "
    f"and all baselines; with --machines=one, those that one ID is enough for.",
)
MACHINES = flags.DEFINE_enum(
    "machines", "all", ["all", "one"], "All IDs in a run, or one ID and no clip of any other."
)
FOLD_NUMBERS = flags.DEFINE_list("folds", [*map(str, range(FOLDS))], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every method on every fold.")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of runs and tables; by default runs/slider_fewshot or …_one."
)

# The rule that a method's ROC curve is drawn for; for the baselines their best.
DRAWN = {"slider_best": "relative", "mahalanobis": "mean+std+max", "knn": "mean+std+max"}
DRAWN |= {"discriminant": "own", "gmm": "std", "autoencoder": "std", "maf": "std"}


def run_method(name: str, data: Path, workdir: Path, seed: int) -> dict[str, Any]:
    """Runs a baseline, or else the config of that name; returns the run's summary."""
    if name in METHODS:
        return run_baseline(name, data, workdir, seed)
    return run(config_named(name), data, workdir, seed)


def method_names() -> list[str]:
    """The methods that are asked for.

    Raises:
        UserError: If a name is neither that of a baseline nor that of a config, or one machine ID
            is not enough for it.
    """
    one = MACHINES.value == "one"
    several = {"slider_best", *SEVERAL_IDS} if one else set()
    if METHOD_NAMES.value is None:
        flows = ("slider", "slider_one") if one else ("slider", "slider_best")
        return [name for name in (*flows, *METHODS) if name not in several]
    for name in METHOD_NAMES.value:
        if name not in METHODS:
            config_named(name, f"--methods: {name} is no baseline")
        if name in several:
            raise UserError(f"--methods: {name} takes two machine IDs; leave --machines=one out")
    return METHOD_NAMES.value


def main() -> None:
    names, folds, seeds = method_names(), numbers(FOLD_NUMBERS), numbers(SEEDS)
    one = MACHINES.value == "one"
    top = Path(WORKDIR.value or ("runs/slider_fewshot_one" if one else "runs/slider_fewshot"))
    groups = [(one_id,) for one_id in machine_ids(Path(DATA.value))] if one else [()]
    figures: list[Figure] = []
    runs: dict[str, list[Path]] = {name: [] for name in names}
    for name in names:
        seconds = []
        for seed in seeds:
            for fold in folds:
                for ids in groups:
                    data = lay_out_fold(Path(DATA.value), fold, top / "folds", *ids)
                    workdir = top / name / f"{data.name}_seed{seed}"
                    summary = run_method(name, data, workdir, seed)
                    own = figures_of(summary, name, fold, seed)
                    figures += [f for f in own if not one or f.machine_id in ids]
                    seconds.append(summary["times"]["train_s"])
                    runs[name].append(workdir)
        print(f"{name}: training takes {min(seconds):.0f} to {max(seconds):.0f} s a run")
    if one:
        figures += average_of_ids(figures)
    write_figures(top / "results.csv", figures)
    rows = {name: [scores_of(run) for run in own] for name, own in runs.items()}
    tables = f"{by_machine(figures, rows)}\n\n{by_fold(figures)}\n"
    (top / "tables.md").write_text(tables)
    draw_pictures(top, runs)
    print(tables)


def draw_pictures(folder: Path, runs: Mapping[str, Sequence[Path]]) -> None:
    """Draws the ROC curves of all methods, and the scores of each."""
    rules = {name: DRAWN.get(name, "mean") for name in runs}
    draw_rocs(folder / "roc.svg", runs, rules)
    for name, own in runs.items():
        draw_distributions(folder / f"scores_{name}.svg", own, rules[name])


if __name__ == "__main__":
    command(main)
