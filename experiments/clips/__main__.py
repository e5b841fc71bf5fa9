"""Measures what training earns over the starting Gaussian, by the number of training clips.

python -m experiments.clips [--data=DIR/slider] [--simulated=100,300,1000,2000]
    [--real=10,20,40,80,155] [--noise=0.02 --steps=1000] [--folds=0,1] [--seeds=0]

The pooled frames of the SIMULATED corpus are rendered once; if the command is cut off, the same
command goes on rendering where it was.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from configs import slider
from experiments.clips.corpus import simulated
from experiments.clips.learning import learn, measure
from experiments.clips.pooled import Pooled, recorded
from experiments.clips.tables import Point, draw, table
from experiments.runs import command, numbers
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold
from flowasd.config import RunConfig, parse
from flowasd.errors import UserError
from flowasd.files import write_csv

DATA = flags.DEFINE_string("data", "", "Development set: the folder slider/; without, none.")
SIMULATED = flags.DEFINE_list(
    "simulated", ["100", "300", "1000", "2000"], "SIMULATED clips of each machine ID."
)
REAL = flags.DEFINE_list(
    "real", ["10", "20", "40", "80", "155"], "Recordings of each ID, or all that it has."
)
NOISE = flags.DEFINE_float("noise", None, "Noise on training patches, instead of the config's.")
STEPS = flags.DEFINE_integer("steps", None, "Updates, instead of the config's.")
TEST = flags.DEFINE_list(
    "test", ["1000", "500"], "Normal and anomalous SIMULATED test clips of each ID."
)
FOLD_NUMBERS = flags.DEFINE_list("folds", [*map(str, range(FOLDS))], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of clips, split and training.")
PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that render.", lower_bound=1)
WORKDIR = flags.DEFINE_string("workdir", "runs/clips", "Folder of pooled frames and tables.")


def config_of(seed: int) -> RunConfig:
    """Returns `configs/slider.py` with the noise and the updates of the flags."""
    config, changes = slider.get_config(), {"seed": seed}
    changes |= {} if NOISE.value is None else {"train.noise": NOISE.value}
    changes |= {} if STEPS.value is None else {"train.steps": STEPS.value}
    config.update_from_flattened_dict(changes)
    return parse(config)


def corpora(top: Path) -> Iterator[tuple[str, list[int], Pooled, Pooled]]:
    """Yields name, counts of clips, training and test clips of everything that is learned from."""
    config, counts = config_of(0), numbers(SIMULATED)
    if counts:
        parts = zip(
            (("train", "normal"), ("test", "normal"), ("test", "anomaly")),
            (max(counts), *numbers(TEST)),
            strict=True,
        )
        train, *tested = (
            simulated(top, config.frontend, *part, count, PROCESSES.value) for part, count in parts
        )
        yield "SIMULATED", counts, train, tested[0].joined(tested[1])
    for fold in numbers(FOLD_NUMBERS) if DATA.value else ():
        root = lay_out_fold(Path(DATA.value), fold, top / "folds")
        yield f"fold {fold}", numbers(REAL), *recorded(root, config)


def points(top: Path) -> Iterator[Point]:
    """Yields what the Gaussian and the kept flow reach, for every corpus, count and seed."""
    for name, counts, clips, test in corpora(top):
        for count, seed in itertools.product(counts, numbers(SEEDS)):
            config = config_of(seed)
            split = clips.per_machine(count, seed).split(seed, config.data.validation)
            for model, learnt in zip(("Gaussian", "flow"), learn(config, *split), strict=True):
                point = Point(name, count, seed, model, learnt.step, *measure(learnt, test))
                print(*point, flush=True)
                yield point


def main() -> None:
    top = Path(WORKDIR.value)
    measured = [*points(top)]
    if not measured:
        raise UserError("nothing to learn from: name a data set with --data, or --simulated=100")
    write_csv(top / "results.csv", [Point._fields, *measured])
    text = table(measured)
    (top / "tables.md").write_text(f"{text}\n")
    draw(top / "curve.svg", measured)
    print(text)


if __name__ == "__main__":
    command(main)
