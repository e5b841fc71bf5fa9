"""Plants faults at known times into normal test clips, and measures whether maps point at them.

python -m experiments.pointing --data=DIR/slider [--configs=slider] [--folds=0] [--seeds=0]

A run that is done is not done again.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from experiments.pointing.maps import MAPS, Scene, curvature
from experiments.pointing.measures import measured
from experiments.pointing.planted import planted
from experiments.runs import command, config_named, numbers, spread
from experiments.slider_fewshot.folds import lay_out_fold
from flowasd.config import parse
from flowasd.data.source import open_source
from flowasd.detector import Detector
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.explaining import explain_heard
from flowasd.features.compute import compute_bands
from flowasd.features.hearing import Heard
from flowasd.files import write_csv
from flowasd.training.train import train

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.", required=True)
CONFIGS = flags.DEFINE_list("configs", ["slider", "slider_best"], "Names of configs.")
FOLD_NUMBERS = flags.DEFINE_list("folds", ["0", "1"], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of runs and of what is planted.")
CLIPS = flags.DEFINE_integer("clips", 1, "Normal test clips of every machine ID.")
WORKDIR = flags.DEFINE_string("workdir", "runs/pointing", "Folder of runs and tables.")


class Figure(NamedTuple):
    """How well one map points at one fault, as means over clips; shares from 0 to 1."""

    config: str
    fold: int
    seed: int
    map: str
    fault: str
    clips: int
    pointing: float
    overlap: float
    precision: float


def measure(name: str, fold: int, seed: int, detector: Detector) -> Iterator[Figure]:
    """Yields the figures of one run."""
    frontend, precision = detector.frontend, curvature(detector)
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for i, one in enumerate(planted(_normal(detector), frontend, seed)):
        (bands,) = compute_bands([one.samples.astype(np.float32)], frontend, rows=1)
        heard = Heard(bands, one.samples.astype(np.float32))
        explanation = explain_heard(detector, heard, one.machine_id)
        scene = Scene(detector, explanation, bands, precision, np.random.default_rng([seed, i]))
        for map_name, make in MAPS.items():
            found.setdefault((map_name, one.fault), []).append(measured(make(scene), one))
    for (map_name, fault), values in found.items():
        means = np.mean(values, 0).tolist()
        yield Figure(name, fold, seed, map_name, fault, len(values), *means)


def kept(workdir: Path, figures: Iterable[Figure], rule: str) -> list[Figure]:
    """Returns the figures of a run by one rule, which are measured once and kept in a file."""
    path = workdir / f"pointing_{rule}_{CLIPS.value}.csv"
    if not path.exists():
        write_csv(path, [Figure._fields, *figures])
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [
        Figure(
            row["config"],
            int(row["fold"]),
            int(row["seed"]),
            row["map"],
            row["fault"],
            int(row["clips"]),
            *(float(row[name]) for name in ("pointing", "overlap", "precision")),
        )
        for row in rows
    ]


def _normal(detector: Detector) -> list[tuple[Path, str]]:
    """Some normal test clips of every ID."""
    clips = open_source(detector.config.data, detector.config.seed).splits["test"]
    some = []
    for machine_id in detector.machine_ids:
        own = [clip for clip in clips if (clip.machine_id, clip.label) == (machine_id, 0)]
        some += [(clip.path, machine_id) for clip in own[: CLIPS.value]]
    return some


def table(figures: Sequence[Figure]) -> str:
    """Markdown: a row a config and map; means over faults and folds, then ± over seeds."""
    lines = ["| config | map | pointing | overlap | average precision |", "|---|---|---|---|---|"]
    for config, name in dict.fromkeys((f.config, f.map) for f in figures):
        own = [f for f in figures if (f.config, f.map) == (config, name)]
        cells = [spread(own, column) for column in ("pointing", "overlap", "precision")]
        lines.append(f"| {config} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_fault(figures: Sequence[Figure]) -> str:
    """Markdown: a row a config and map, a column a fault; each pointing / overlap in percent."""
    faults = list(dict.fromkeys(f.fault for f in figures))
    lines = [f"| config | map | {' | '.join(faults)} |", "|---" * (2 + len(faults)) + "|"]
    for config, name in dict.fromkeys((f.config, f.map) for f in figures):
        own = [f for f in figures if (f.config, f.map) == (config, name)]
        cells = []
        for fault in faults:
            pairs = [(f.pointing, f.overlap) for f in own if f.fault == fault]
            cells.append(" / ".join(f"{100 * mean:.0f}" for mean in np.mean(pairs, 0)))
        lines.append(f"| {config} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    data, top = Path(DATA.value), Path(WORKDIR.value)
    figures: list[Figure] = []
    for name, seed, fold in product(CONFIGS.value, numbers(SEEDS), numbers(FOLD_NUMBERS)):
        config = config_named(name)
        root = lay_out_fold(data, fold, top / "folds")
        config.update_from_flattened_dict({"data.root": str(root), "seed": seed})
        workdir = top / name / f"fold{fold}_seed{seed}"
        train(parse(config), workdir)  # returns at once if it is done
        calibrate_run(workdir)
        detector = Detector.load(workdir)
        for rule in dict.fromkeys(("mean", detector.config.score.rule)):
            scoring = replace(detector.config.score, rule=rule)
            by = replace(detector, config=replace(detector.config, score=scoring))
            figures += kept(workdir, measure(f"{name}, {rule}", fold, seed, by), rule)
    write_csv(top / "results.csv", [Figure._fields, *figures])
    tables = f"{table(figures)}\n\n{by_fault(figures)}"
    (top / "tables.md").write_text(f"{tables}\n")
    print(tables)


if __name__ == "__main__":
    command(main)
