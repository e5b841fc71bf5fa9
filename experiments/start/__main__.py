"""How much sooner does a flow that starts as a Gaussian reach a given held-out NLL?

python -m experiments.start --data=DIR/slider [--shapes=mel,image] [--seeds=0,1,2] [--steps=200]

Every shape is trained twice with the same batches: from the Gaussian of the training clips, and
from the standard normal distribution, which is what a flow of identities is on standardised bands.
"""

from pathlib import Path

import numpy as np
from absl import flags

from experiments.runs import command, numbers
from experiments.speed.auc_ours import Fold, open_fold
from experiments.speed.shapes import shape_config
from experiments.start.curves import COLUMNS, Curve, row_of
from flowasd.files import write_csv
from flowasd.training.gaussian import Gaussian
from flowasd.training.loop import run_steps
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state

DATA = flags.DEFINE_string("data", "", "Data set; if empty, the built-in SIMULATED corpus.")
SHAPES = flags.DEFINE_list("shapes", ["mel", "image"], "Shapes of experiments/speed/shapes.py.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
STEPS = flags.DEFINE_integer("steps", 200, "Updates of every training.", lower_bound=1)
WORKDIR = flags.DEFINE_string("workdir", "runs/start", "Folder of the table.")

# Every step is validated that often, and training does not end before its last step.
CHANGES = {"train.eval_every": 10, "train.log_every": 10, "train.patience": 1000}


def standard_normal(like: Gaussian) -> Gaussian:
    """Returns the standard normal distribution for as many IDs and bands."""
    return Gaussian(np.zeros_like(like.mean), np.eye(like.mean.shape[1]), "standard normal")


def curve(fold: Fold, start: Gaussian) -> Curve:
    """Trains a flow from a start, and returns its held-out NLL in nats per dimension."""
    mesh = data_mesh()
    graph, state = initial_state(fold.config, start, mesh)
    steps = run_steps(fold.config.train, graph, state, fold.data, mesh)
    return {int(row["step"]): row["validation_nll"] for _, row in steps}


def main() -> None:
    rows, points = [[*COLUMNS]], [["shape", "seed", "start", "step", "validation_nll"]]
    for shape in SHAPES.value:
        curves = []
        for seed in numbers(SEEDS):
            changes = CHANGES | {
                "data.root": DATA.value,
                "seed": seed,
                "train.steps": STEPS.value,
            }
            fold = open_fold(shape_config(shape, changes))
            starts = {"Gaussian": fold.start, "normal": standard_normal(fold.start)}
            of_seed = {name: curve(fold, start) for name, start in starts.items()}
            points += [
                [shape, seed, name, step, nll]
                for name, nlls in of_seed.items()
                for step, nll in nlls.items()
            ]
            curves.append((of_seed["Gaussian"], of_seed["normal"]))
        rows.append(row_of(shape, curves))
    folder = Path(WORKDIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "results.csv", points)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    table = "\n".join([lines[0], f"|{'---|' * len(COLUMNS)}", *lines[1:]])
    (folder / "tables.md").write_text(f"{table}\n")
    print(table)


if __name__ == "__main__":
    command(main)
