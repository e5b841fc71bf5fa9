"""Trains every variant on some folds and writes what each change does.

python -m experiments.ablations --data=DIR/slider [--variants=NAME …] [--folds=0,4] [--seeds=0]

A run that is done is not done again, one that was cut off goes on where it was.
"""

from pathlib import Path

from absl import flags

from experiments.ablations.variants import VARIANTS, variant
from experiments.runs import command, numbers, run
from experiments.slider_fewshot.folds import lay_out_fold
from experiments.slider_fewshot.pictures import Row, scores_of
from experiments.slider_fewshot.tables import by_machine, figures_of, write_figures

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.", required=True)
NAMES = flags.DEFINE_multi_enum(
    "variants", list(VARIANTS), list(VARIANTS), "A variant; may be repeated. By default all."
)
FOLDS = flags.DEFINE_list("folds", ["0", "4"], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds of every variant on every fold.")
WORKDIR = flags.DEFINE_string("workdir", "runs/ablations", "Folder of runs and tables.")


def main() -> None:
    seeds, top, figures = numbers(SEEDS), Path(WORKDIR.value), []
    scores: dict[str, list[list[Row]]] = {}
    for fold in numbers(FOLDS):
        data = lay_out_fold(Path(DATA.value), fold, top / "folds")
        for name in NAMES.value:
            for seed in seeds:
                folder = top / name.replace(" ", "_") / f"fold{fold}_seed{seed}"
                figures += figures_of(run(variant(name), data, folder, seed), name, fold, seed)
                scores.setdefault(name, []).append(scores_of(folder))
    write_figures(top / "results.csv", figures)
    table = by_machine(figures, scores)
    (top / "tables.md").write_text(f"{table}\n")
    print(table)


if __name__ == "__main__":
    command(main)
