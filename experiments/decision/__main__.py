"""Measures how many clips raise an alarm at a rate of false alarms that was asked for.

python -m experiments.decision --data=DIR/slider [--configs=slider] [--held_out=15] [--folds=0,1]
    [--seeds=0]
"""

from collections.abc import Iterator
from pathlib import Path

from absl import flags

from experiments.decision.tables import Decided, counts, table
from experiments.runs import command, config_named, numbers
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold
from flowasd.config import parse
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.files import write_csv
from flowasd.training.train import train

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.", required=True)
CONFIGS = flags.DEFINE_list("configs", ["slider", "slider_best"], "Names of configs.")
HELD_OUT = flags.DEFINE_list(
    "held_out",
    ["0", "15"],
    "Training clips of each ID that are held out for p-values; 0 for cross-fitting.",
)
FOLD_NUMBERS = flags.DEFINE_list("folds", [*map(str, range(FOLDS))], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every config on every fold.")
WORKDIR = flags.DEFINE_string("workdir", "runs/decision", "Folder of runs and tables.")


def decided(top: Path) -> Iterator[Decided]:
    """Yields every test clip of every run with its p-value."""
    for name in CONFIGS.value:
        for held_out in numbers(HELD_OUT):
            for fold in numbers(FOLD_NUMBERS):
                root = lay_out_fold(Path(DATA.value), fold, top / "folds")
                for seed in numbers(SEEDS):
                    config = config_named(name)
                    config.update_from_flattened_dict(
                        {"data.root": str(root), "data.calibration": held_out, "seed": seed}
                    )
                    workdir = top / name / f"held_out{held_out}_fold{fold}_seed{seed}"
                    train(parse(config), workdir)
                    calibrate_run(workdir)
                    for clip in evaluate(workdir, illustrated=False).clips:
                        yield Decided(
                            name, held_out, fold, seed, clip.machine_id, clip.label, clip.p_value
                        )


def main() -> None:
    for name in CONFIGS.value:
        config_named(name)  # a wrong name is refused before the first run
    top = Path(WORKDIR.value)
    clips = [*decided(top)]
    write_csv(top / "results.csv", counts(clips))
    text = table(clips)
    (top / "tables.md").write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    command(main)
