"""One baseline on one data set: clips and split as for the default config, DCASE's own log-mel."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.baselines.clips import Clips, Scores
from experiments.baselines.methods import METHODS
from experiments.runs import read_summary
from flowasd.data.clips import Clip
from flowasd.data.source import DataConfig, Source, open_source
from flowasd.evaluation import metrics
from flowasd.features.cache import source_features
from flowasd.features.frontend import FrontendConfig, fit_standardisation, standardise
from flowasd.files import write_csv
from flowasd.run.records import write_record

FRONTEND = FrontendConfig(n_fft=1024, hop_length=512)  # that of DCASE 2020's own baseline


def run_baseline(name: str, data_root: Path, workdir: Path, seed: int) -> dict[str, Any]:
    """Fits a baseline on the training clips and scores the test clips.

    A run that is done is not done again.

    Args:
        name: Key of `METHODS`.
        data_root: Data set in DCASE's layout, with a labelled `test/`.
        workdir: Folder that takes `scores.csv` and `summary.json`.
        seed: Seed of the split and of the method.

    Returns:
        The summary: AUC and pAUC of every rule and machine ID, and the seconds of fitting and
        scoring together.

    Raises:
        UserError: If the data set cannot be read.
    """
    path = workdir / "summary.json"
    if path.exists():
        return read_summary(path)
    config = DataConfig(root=str(data_root.absolute()))
    source = open_source(config, seed)
    train, test = _clips(source, config)
    start = time.perf_counter()
    scores = METHODS[name](train, test, seed=seed)
    seconds = time.perf_counter() - start
    summary = {
        "method": name,
        "data": source.kind,
        "seed": seed,
        "metrics": _metrics(source.splits["test"], scores),
        "times": {"train_s": seconds},
    }
    workdir.mkdir(parents=True, exist_ok=True)
    write_csv(workdir / "scores.csv", _table(source.splits["test"], scores))
    write_record(path, summary)  # the last file: it says that the run is done
    return summary


def _clips(source: Source, config: DataConfig) -> tuple[Clips, Clips]:
    _, features = source_features(source, FRONTEND, config)
    statistics = fit_standardisation(features["train"].clips())
    train, test = (
        Clips(
            [standardise(clip, statistics) for clip in features[split].clips()],
            source.machine_index(split),
        )
        for split in ("train", "test")
    )
    return train, test


def _metrics(clips: Sequence[Clip], scores: Scores) -> dict[str, Any]:
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    columns = metrics.per_rule(ids, labels, scores)
    return metrics.summary(columns)


def _table(clips: Sequence[Clip], scores: Scores) -> list[tuple]:
    rows = zip(clips, *scores.values(), strict=True)
    table = [(f"test/{clip.name}", clip.machine_id, clip.label, *own) for clip, *own in rows]
    return [("path", "machine_id", "label", *scores), *table]
