"""Leaves every machine out in turn, enrols it from a few clips, and says how well it is scored.

python -m experiments.enrolment --data=DIR/slider [--configs=slider_best] [--folds=0,1] [--seeds=0]

A run that is done is not done again, one that was cut off goes on where it was.
"""

from itertools import product
from pathlib import Path

import numpy as np
from absl import flags

from experiments.enrolment.left_out import RULES, run
from experiments.runs import command, config_named, numbers
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold, machine_ids
from experiments.slider_fewshot.pictures import Row
from experiments.slider_fewshot.tables import Figure, average_of_ids, by_machine, write_figures
from flowasd.config import RunConfig, parse
from flowasd.evaluation.metrics import areas

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.", required=True)
CONFIGS = flags.DEFINE_list("configs", ["slider_best", "slider"], "Names of configs.")
FOLD_NUMBERS = flags.DEFINE_list("folds", [*map(str, range(FOLDS))], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every config on every fold.")
WORKDIR = flags.DEFINE_string("workdir", "runs/enrolment", "Folder of runs and tables.")

Draws = dict[str, dict[str, list[Row]]]  # number of clips → draw → rows


def config_of(name: str, data: Path, seed: int) -> RunConfig:
    """The config of a name, for a data set.

    Raises:
        UserError: If there is no such config.
    """
    config = config_named(name)
    config.update_from_flattened_dict({"data.root": str(data), "seed": seed})
    return parse(config)


def by_draw(rows: list[Row]) -> Draws:
    """The rows of a run, by number of clips and draw."""
    draws: Draws = {}
    for row in rows:
        draws.setdefault(row["clips"], {}).setdefault(row["draw"], []).append(row)
    return draws


def figure(rows: list[list[Row]], name: str, fold: int, seed: int, rule: str) -> Figure:
    """AUC and pAUC of one machine, the mean over draws."""
    pairs = [
        areas([int(row["label"]) for row in own], np.array([float(row[rule]) for row in own]))
        for own in rows
    ]
    return Figure(name, fold, seed, rule, rows[0][0]["machine_id"], *np.mean(pairs, 0).tolist())


def main() -> None:
    data, top, seeds = Path(DATA.value), Path(WORKDIR.value), numbers(SEEDS)
    ids = machine_ids(data)
    figures: list[Figure] = []
    rows: dict[str, list[list[Row]]] = {}
    runs = product(CONFIGS.value, seeds, numbers(FOLD_NUMBERS), ids)
    for name, seed, fold, machine_id in runs:
        others = [other for other in ids if other != machine_id]
        config = config_of(name, lay_out_fold(data, fold, top / "folds", *others), seed)
        left_out = lay_out_fold(data, fold, top / "folds", machine_id)
        workdir = top / name / f"{left_out.name}_seed{seed}"
        for clips, draws in by_draw(run(config, left_out, workdir)).items():
            setting, own = f"{name}, {clips} clips", [*draws.values()]
            figures += [figure(own, setting, fold, seed, rule) for rule in RULES]
            rows.setdefault(setting, []).extend(own)
    figures += average_of_ids(figures)
    write_figures(top / "results.csv", figures)
    figures.sort(key=lambda f: RULES.index(f.rule))  # a rule's rows stand together
    table = by_machine(figures, rows)
    (top / "tables.md").write_text(f"{table}\n")
    print(table)


if __name__ == "__main__":
    command(main)
