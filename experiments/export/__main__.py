"""Compares both exported artefacts with the detector, on the test clips of a few-shot fold.

python -m experiments.export --data=DIR/slider
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.export
import numpy as np
import onnxruntime
from absl import flags

from configs import slider, slider_best
from experiments.runs import command, run
from experiments.slider_fewshot.folds import lay_out_fold
from flowasd.data.audio import find_audio, read_audio
from flowasd.data.machine_ids import told_id
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.features.compute import CLIPS_PER_BATCH, compute_bands
from flowasd.files import write_csv
from flowasd.serving.export import export_run

DATA = flags.DEFINE_string("data", None, "Folder of the machine type, with train/ and test/.")
CLIPS = flags.DEFINE_integer("clips", 128, "Test clips, evenly over their names.", 1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds of timing.", 1)
WORKDIR = flags.DEFINE_string("workdir", "runs/export", "Folder of the runs and the results.")
CONFIGS = {"slider": slider, "slider_best": slider_best}
COLUMNS = (
    *("config", "way", "clips", "score difference", "p-value difference", "map difference"),
    *("MB", "clips/s"),
)
MAPS = 16  # clips whose maps are compared

# Takes samples and machine indices; returns scores, p-values and, if there are any, maps.
Way = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
OUTPUTS = ("score", "p_value", "map")


def rows_of(name: str, root: Path, workdir: Path) -> Iterator[tuple[object, ...]]:
    """A row for each way to score: the detector, jax.export and onnxruntime."""
    run(CONFIGS[name].get_config(), root, workdir, seed=0)
    plain, mapped = workdir / "export", workdir / "export_map"
    export_run(workdir, str(plain))
    export_run(workdir, str(mapped), with_map=True)
    detector = Detector.load(workdir)
    paths = find_audio([str(root / "slider" / "test")])
    decoded = [(path, read_audio(path, detector.frontend.sample_rate)) for path in paths]
    length = _metadata(workdir)["n_samples"]
    fitting = [(path, clip) for path, clip in decoded if len(clip) == length]
    spread = np.linspace(0, len(fitting) - 1, min(CLIPS.value, len(fitting))).astype(int)
    chosen = [fitting[i] for i in spread]
    samples = np.stack([clip for _, clip in chosen])
    known = detector.known_ids
    ids = [known.index(told_id(path, known, detector.config.data)) for path, _ in chosen]
    machine = np.array(ids, np.int32)
    files = {
        "jax.export": plain / "detector.jax",
        "onnxruntime": plain / "detector.onnx",
        "jax.export, map": mapped / "detector.jax",
        "onnxruntime, map": mapped / "detector.onnx",
    }
    ways = {"detector": by_detector(detector)}
    ways |= {way: (by_jax if "jax" in way else by_onnx)(path) for way, path in files.items()}
    found = {way: _in_batches(score, samples, machine) for way, score in ways.items()}  # compiles
    seconds = _seconds(ways, samples, machine)
    some = np.linspace(0, len(chosen) - 1, min(MAPS, len(chosen))).astype(int)
    maps = np.stack(
        [detector.explain(samples[i], detector.known_ids[machine[i]]).map for i in some]
    )
    for way, outputs in found.items():
        score, p_value = (
            np.abs(one - other).max()
            for one, other in zip(outputs[:2], found["detector"], strict=True)
        )
        away = map_difference(outputs[2][some], maps) if len(outputs) > 2 else ""
        size = files[way].stat().st_size / 1e6 if way in files else ""
        rate = len(chosen) / np.median(seconds[way])
        yield name, way, len(chosen), score, p_value, away, size, rate


def map_difference(maps: np.ndarray, expected: np.ndarray) -> float:
    """The greatest difference of any cell, as a share of the largest cell of its clip."""
    return float((np.abs(maps - expected).max((1, 2)) / np.abs(expected).max((1, 2))).max())


def by_detector(detector: Detector) -> Way:
    """The detector from samples on: front-end, flow, every rule, p-values."""
    rule = detector.config.score.rule

    def score(samples: np.ndarray, machine: np.ndarray) -> tuple[np.ndarray, ...]:
        bands = compute_bands(list(samples), detector.frontend, CLIPS_PER_BATCH)
        judged = detector.judge(bands, [detector.known_ids[m] for m in machine])
        columns = [(clip.scores[rule], clip.p_values[rule]) for clip in judged]
        scores, p_values = np.array(columns).T
        return scores, p_values

    return score


def by_jax(path: Path) -> Way:
    """The artefact of jax.export."""
    with zipfile.ZipFile(path) as archive:
        program = jax.export.deserialize(bytearray(archive.read("program.bin")))
        alpha = np.float32(json.loads(archive.read("metadata.json"))["alpha"])
    call = jax.jit(program.call)

    def score(samples: np.ndarray, machine: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = call(samples, machine, alpha)
        return tuple(np.asarray(outputs[name]) for name in OUTPUTS if name in outputs)

    return score


def by_onnx(path: Path) -> Way:
    """The ONNX model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options)

    made = {output.name for output in session.get_outputs()}
    names = [name for name in OUTPUTS if name in made]

    def score(samples: np.ndarray, machine: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = session.run(names, {"samples": samples, "machine": machine})
        return tuple(map(np.asarray, outputs))

    return score


def _metadata(workdir: Path) -> dict:
    content = (workdir / "export" / "detector.jax").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read("metadata.json"))


def _in_batches(score: Way, samples: np.ndarray, machine: np.ndarray) -> list[np.ndarray]:
    """The outputs for all clips, four at a time as the detector's front-end takes them."""
    starts = range(0, len(samples), CLIPS_PER_BATCH)
    some = [slice(first, first + CLIPS_PER_BATCH) for first in starts]
    outputs = [score(samples[part], machine[part]) for part in some]
    return [np.concatenate(column) for column in zip(*outputs, strict=True)]


def _seconds(ways: dict[str, Way], samples: np.ndarray, machine: np.ndarray) -> dict[str, list]:
    """Seconds of every way for all clips, in the order A B C A B C."""
    seconds = {way: [] for way in ways}
    for _ in range(ROUNDS.value):
        for way, score in ways.items():
            start = time.perf_counter()
            _in_batches(score, samples, machine)
            seconds[way].append(time.perf_counter() - start)
    return seconds


def table(rows: list[tuple[object, ...]]) -> str:
    """Markdown: a row a way."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in rows:
        cells = [f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    if DATA.value is None:
        raise UserError("name the recordings with --data=DIR/slider")
    workdir = Path(WORKDIR.value)
    root = lay_out_fold(Path(DATA.value), 0, workdir / "data")
    rows = [row for name in CONFIGS for row in rows_of(name, root, workdir / name)]
    write_csv(workdir / "results.csv", [COLUMNS, *rows])
    print(table(rows))


if __name__ == "__main__":
    command(main)
