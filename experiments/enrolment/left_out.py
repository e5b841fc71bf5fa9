"""One machine that the detector has not heard: enrolled from a few clips, then scored."""

import csv
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from experiments.slider_fewshot.pictures import Row
from flowasd.config import RunConfig
from flowasd.data.dataset import read_dataset
from flowasd.detector import Detector
from flowasd.enrolling import enrolment
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.features.cache import cached_features
from flowasd.files import write_csv
from flowasd.training.train import train

SIZES = (1, 3, 5, 10, 20)  # clips that the machine is enrolled from; at last all that there are
DRAWS = 3
# The rules that differ where a clip is one pooled frame.
RULES = ("relative", "mean", "typicality", "combined")


def run(config: RunConfig, left_out: Path, workdir: Path) -> list[Row]:
    """Trains a config without a machine, enrols the machine and scores its test clips.

    A run that is done is not done again.

    Args:
        config: The config, whose data set does not have the machine.
        left_out: Data set of the machine alone.
        workdir: Folder of the run.

    Returns:
        A row for every number of clips, draw and test clip, with its score by each of the `RULES`.
    """
    train(config, workdir)  # returns at once if it is done, refuses another config's run
    path = workdir / "enrolled.csv"
    if not path.exists():
        calibrate_run(workdir)
        header = ("clips", "draw", "path", "machine_id", "label", *RULES)
        write_csv(path, [header, *_scores(Detector.load(workdir), left_out)])
    with path.open() as file:
        return list(csv.DictReader(file))


def _scores(detector: Detector, left_out: Path) -> Iterator[Sequence[object]]:
    """Yields the rows of the table."""
    dataset = read_dataset(left_out, detector.config.data.layout)
    known, tested = (
        cached_features(
            [clip.path for clip in clips], detector.frontend, detector.config.data.cache_folder
        ).clips()
        for clips in (dataset.train, dataset.test)
    )
    ids = [clip.machine_id for clip in dataset.test]
    (machine_id,) = set(ids)
    for size, draw in _draws(len(known)):
        drawn = np.random.default_rng(draw).choice(len(known), size, replace=False)
        row = enrolment(detector, [known[i] for i in drawn], machine_id)
        judged = detector.with_machine(machine_id, row).judge(tested, ids)
        of = "all" if size == len(known) else size
        for clip, one in zip(dataset.test, judged, strict=True):
            scores = [one.scores[rule] for rule in RULES]
            yield of, draw, f"test/{clip.name}", machine_id, clip.label, *scores


def _draws(count: int) -> list[tuple[int, int]]:
    """How many clips are drawn and by which seed; all clips are drawn once."""
    sizes = [size for size in SIZES if size < count]
    return [*product(sizes, range(DRAWS)), (count, 0)]
