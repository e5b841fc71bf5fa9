"""Where do the warnings' limits lie, between real clips and what they are to notice?

python -m experiments.doubts --data=DIR/slider --others=DATA/2023/development [--seeds=0,1,2]

The first table is of `foreign` (flowasd/scoring/decision.py): how far normal and anomalous clips of
a fold, and clips of other machine types, lie from normal. The second one is of the check
(flowasd/data/findings.py): the bands of the same recordings, and of copies that were upsampled.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from experiments.doubts.bands import measure_bands
from experiments.runs import command, config_named, numbers
from experiments.slider_fewshot.folds import lay_out_fold
from flowasd.config import parse
from flowasd.data.dataset import machine_types, read_dataset
from flowasd.detector import Detector
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.files import write_csv
from flowasd.scoring.decision import distance_from_normal
from flowasd.training.train import train

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.", required=True)
OTHERS = flags.DEFINE_string("others", None, "Folder of other machine types.", required=True)
CONFIG = flags.DEFINE_string("config_name", "slider", "Config of the detector, by its name.")
FOLD = flags.DEFINE_integer("fold", 0, "Fold that is trained on.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the training.")
NARROWED = flags.DEFINE_integer("narrowed", 10, "Every n-th clip is upsampled.", lower_bound=1)
WORKDIR = flags.DEFINE_string("workdir", "runs/doubts", "Folder of the runs and tables.")


class Distance(NamedTuple):
    """How far a clip lies from normal under a machine ID."""

    seed: int
    clips: str
    machine_id: str
    name: str
    distance: float


def distances(
    detector: Detector, seed: int, clips: str, paths: Sequence[Path]
) -> Iterator[Distance]:
    """Yields the distance of every clip: of slide rails under their own ID, else under each."""
    for machine_id in [None] if clips in ("normal", "anomaly") else detector.known_ids:
        for result in detector.results(paths, machine_id):
            if result.error is not None:
                raise result.error
            normal = detector.normal_scores(result.machine_id, "mean")
            (far,) = distance_from_normal(np.array([result.scores["mean"]]), normal).tolist()
            yield Distance(seed, clips, result.machine_id, result.path.name, round(far, 2))


def of_seed(seed: int, top: Path) -> Iterator[Distance]:
    """Trains a detector, and yields the distances of all clips."""
    root, workdir = lay_out_fold(Path(DATA.value), FOLD.value, top / "folds"), top / f"seed{seed}"
    config = config_named(CONFIG.value, "--config_name")
    config.update_from_flattened_dict({"data.root": str(root), "seed": seed})
    train(parse(config), workdir)
    calibrate_run(workdir)
    detector = Detector.load(workdir)
    test = read_dataset(root).test
    for label, name in enumerate(("normal", "anomaly")):
        yield from distances(detector, seed, name, [c.path for c in test if c.label == label])
    for name in machine_types(Path(OTHERS.value)):
        own = read_dataset(Path(OTHERS.value), machine_type=name)
        yield from distances(detector, seed, name, [c.path for c in (*own.train, *own.test)])


def tables(rows: Sequence[Distance], measured: dict[str, float]) -> str:
    """Returns both tables: distances over clips, IDs and seeds, and bands in dB."""
    lines = ["| clips | number | lowest | median | highest |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(row.clips for row in rows):
        own = [row.distance for row in rows if row.clips == name]
        count = len({row.name for row in rows if row.clips == name})
        figures = " | ".join(f"{value:.1f}" for value in (min(own), np.median(own), max(own)))
        lines.append(f"| {name} | {count} | {figures} |")
    return "\n".join(
        [*lines, "", "| bands | |", "|---|---|"]
        + [f"| {name} | {value:.4g} |" for name, value in measured.items()]
    )


def main() -> None:
    top = Path(WORKDIR.value)
    rows = [row for seed in numbers(SEEDS) for row in of_seed(seed, top)]
    write_csv(top / "results.csv", [Distance._fields, *rows])
    text = tables(rows, measure_bands(Path(DATA.value), Path(OTHERS.value), NARROWED.value))
    (top / "tables.md").write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    command(main)
