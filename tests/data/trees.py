"""Small data sets of every layout that flowasd reads, of simulated recordings of two machines."""

import csv
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 16000
TRAIN, TEST = 8, 3  # clips of a machine: to train on; to test on, of each label


class File(NamedTuple):
    """A file of a tree: where it lies, and what the layout must find out about it."""

    path: str
    split: str
    machine_id: str
    label: int | None
    domain: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


def _dcase2020() -> list[File]:
    names = [(f"id_0{m}", s) for m in (0, 2) for s in ("normal", "anomaly")]
    return [
        File(f"train/normal_{m}_{i:08d}.wav", "train", m, 0)
        for m in ("id_00", "id_02")
        for i in range(TRAIN)
    ] + [
        File(f"test/{state}_{m}_{i:08d}.wav", "test", m, int(state == "anomaly"))
        for m, state in names
        for i in range(TEST)
    ]


def _dcase2020_additional() -> list[File]:
    """Training clips in one folder, unlabelled ones in another, as for a submission."""
    return [
        File(f"train/normal_{m}_{i:08d}.wav", "train", m, 0)
        for m in ("id_01", "id_03")
        for i in range(TRAIN)
    ] + [
        File(f"test/{m}_{i:08d}.wav", "test", m, None)
        for m in ("id_01", "id_03")
        for i in range(2 * TEST)
    ]


def _sections(
    folders: dict[str, str], attributes: str, pairs: tuple[tuple[str, str], ...]
) -> list[File]:
    files = []
    for m, (i, domain) in product(
        ("section_00", "section_01"), enumerate(["source"] * 6 + ["target"] * 2)
    ):
        name = f"train/{m}_{domain}_train_normal_{i:04d}{attributes}.wav"
        files.append(File(name, "train", m, 0, domain, pairs))
    for m, domain, label, i in product(
        ("section_00", "section_01"), ("source", "target"), (0, 1), range(TEST)
    ):
        state = ("normal", "anomaly")[label]
        name = f"{folders[domain]}/{m}_{domain}_test_{state}_{i:04d}{attributes}.wav"
        files.append(File(name, "test", m, label, domain, pairs))
    return files


def _dcase2021() -> list[File]:
    return _sections({"source": "source_test", "target": "target_test"}, "", ())


def _dcase2022() -> list[File]:
    return _sections(
        {"source": "test", "target": "test"}, "_vel_300_loc_A", (("vel", "300"), ("loc", "A"))
    )


def _dcase2022_evaluation() -> list[File]:
    """The test clips tell neither label nor domain; a CSV file tells the attributes."""
    train = [file for file in _dcase2022() if file.split == "train"]
    return train + [
        File(f"test/{m}_{i:04d}.wav", "test", m, None, None, (("vel", "325"),))
        for m in ("section_00", "section_01")
        for i in range(2 * TEST)
    ]


def _dcase2024() -> list[File]:
    return _sections({"source": "test", "target": "test"}, "_noAttribute", ())


def _dcase2026() -> list[File]:
    pairs = (("car", "D2"), ("spd", "5"), ("mic", "2"), ("mic", "1"))
    return _sections({"source": "test", "target": "test"}, "_car_D2_spd_5_mic_2_mic_1", pairs)


def _mimii() -> list[File]:
    """Half of the normal clips are tested, as there are as many anomalous ones."""
    return [
        File(f"{m}/{state}/{i:08d}.wav", "", m, label)
        for m in ("id_00", "id_02")
        for state, label, count in (("normal", 0, TRAIN + TEST), ("abnormal", 1, TEST))
        for i in range(count)
    ]


def _toyadmos() -> list[File]:
    return [
        File(f"{m}/{folder}_IND/{i:010d}_ToyCar_{m}_{state}_IND_ch1_{i:04d}.wav", "", m, label)
        for m in ("case1", "case2")
        for folder, state, label, count in (
            ("NormalSound", "normal", 0, TRAIN + TEST),
            ("AnomalousSound", "ab01", 1, TEST),
        )
        for i in range(count)
    ]


def _folder() -> list[File]:
    return [
        File(f"train/{m}/my {i}.wav", "train", m, None)
        for m in ("left", "right")
        for i in range(TRAIN)
    ] + [
        File(f"test/{state}/{m}/{i}.wav", "test", m, label)
        for m in ("left", "right")
        for state, label in (("normal", 0), ("anomaly", 1))
        for i in range(TEST)
    ]


def _manifest() -> list[File]:
    return [
        File(f"rec/{m}-{i}.wav", "train", m, 0, None, (("load", "5"),))
        for m in ("left", "right")
        for i in range(TRAIN)
    ] + [
        File(f"rec/{m}-{label}-{i}.wav", "test", m, label, None, (("load", "5"),))
        for m in ("left", "right")
        for label in (0, 1)
        for i in range(TEST)
    ]


TREES = {
    "dcase2020": _dcase2020,
    "dcase2020_additional": _dcase2020_additional,
    "dcase2021": _dcase2021,
    "dcase2022": _dcase2022,
    "dcase2022_evaluation": _dcase2022_evaluation,
    "dcase2024": _dcase2024,
    "dcase2026": _dcase2026,
    "mimii": _mimii,
    "toyadmos": _toyadmos,
    "folder": _folder,
    "manifest": _manifest,
}
NAMED = ("folder",)  # layouts that are not recognised


def make_tree(name: str, folder: Path, *, sounding: bool = False) -> tuple[Path, list[File]]:
    """Writes the files of a tree; returns the root to be named and the files.

    Args:
        name: One of `TREES`.
        folder: Where `slider/` is made.
        sounding: Whether the files hold recordings of one second; else they are empty.
    """
    root, files = folder / "slider", TREES[name]()
    channels = 2 if name == "dcase2026" else 1
    for i, file in enumerate(files):
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if sounding:
            soundfile.write(path, _sound(i, file, channels), RATE)
        else:
            path.touch()
    if name == "dcase2022_evaluation":
        rows = [[f"slider/{f.path}", "vel", "325"] for f in files if f.split == "test"]
        with (root / "attributes_00.csv").open("w", newline="") as table:
            csv.writer(table).writerows([["file_name", "d1p", "d1v"], *rows])
    if name == "manifest":
        header = ("path", "machine_id", "split", "label", "load")
        rows = [
            (f.path, f.machine_id, f.split, ("normal", "anomaly")[f.label or 0], "5") for f in files
        ]
        with (root / "list.csv").open("w", newline="") as table:
            csv.writer(table).writerows([header, *rows])
        return root / "list.csv", files
    return root, files


def _sound(seed: int, file: File, channels: int) -> np.ndarray:
    """Noise, whose colour is the machine's; an anomalous machine whistles."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(RATE, channels)) / 20
    if file.machine_id[-1] in "12t":
        noise[1:] += 0.9 * noise[:-1]
    if file.label:
        noise += 0.2 * np.sin(np.arange(RATE) * 2 * np.pi * 3000 / RATE)[:, None]
    return noise
