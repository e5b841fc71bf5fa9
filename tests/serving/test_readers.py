"""The readers of an export, in processes that do not see flowasd."""

import csv
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
import soundfile

from flowasd.serving.export import export_run
from tests.serving.exported import assert_maps_agree

NOISE = np.random.default_rng(0).normal(size=16000) / 10

pytestmark = pytest.mark.slow


def run_alone(artefacts, reader, absent, *arguments):
    """Runs a reader in a process that does not see the repository nor the `absent` modules."""
    block = f"import runpy, sys; sys.modules.update(dict.fromkeys({absent!r}))"
    run = f"{block}; runpy.run_path({str(artefacts / reader)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", run, *arguments],
        capture_output=True,
        text=True,
        cwd=artefacts,
        env={k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"},
    )


@pytest.mark.parametrize(
    ("reader", "absent"),
    [("score_onnx.py", ["flowasd", "jax"]), ("score.py", ["flowasd", "flax", "onnxruntime"])],
)
def test_a_process_without_flowasd_scores_a_clip(
    reader, absent, artefacts, detector, test_clips, tmp_path
):
    path = test_clips[0]
    (expected,) = detector.results([path])
    words = [expected.machine_id, str(path), "--alpha=1", f"--map={tmp_path / 'maps'}"]
    out = run_alone(artefacts, reader, absent, *words)
    assert out.returncode == 0, out.stderr
    header, row = out.stdout.splitlines()
    assert header == "path,machine_id,score,p_value,decision"
    name, machine_id, *values = row.split(",")
    assert (name, machine_id, values[2]) == (str(path), expected.machine_id, "1")
    assert float(values[0]) == pytest.approx(expected.score, abs=1e-4)
    assert float(values[1]) == pytest.approx(expected.p_value, rel=1e-5)
    (file,) = (tmp_path / "maps").iterdir()
    assert file.name == f"{path.stem}.npy"
    assert_maps_agree([np.load(file)], [detector.explain(path)])


@pytest.mark.parametrize("reader", ["score_onnx.py", "score.py"])
def test_readers_refuse_other_lengths_and_unknown_machines(reader, artefacts, test_clips, tmp_path):
    soundfile.write(tmp_path / "short.wav", NOISE, 16000)
    out = run_alone(artefacts, reader, [], "id_00", str(tmp_path / "short.wav"))
    assert "short.wav: must have 160000 samples at 16000 Hz" in out.stderr
    out = run_alone(artefacts, reader, [], "id_99", str(test_clips[0]))
    assert "invalid choice: 'id_99' (choose from" in out.stderr
    assert out.returncode == 2


@pytest.mark.parametrize("reader", ["score_onnx.py", "score.py"])
def test_readers_score_no_recording_that_cannot_be_judged(reader, artefacts, test_clips, tmp_path):
    """A bad file costs its own row alone, and a comma in a name splits none."""
    samples, rate = soundfile.read(test_clips[0], dtype="float32")
    bad = {
        "dead": 0 * samples,
        "half": np.where(np.arange(len(samples)) < len(samples) // 2, samples, 0),
        "int16": 32768 * samples,
        "nan": np.where(np.arange(len(samples)) == 7, np.nan, samples),
    }
    for name, own in bad.items():
        soundfile.write(tmp_path / f"{name}.wav", own, rate, "FLOAT")
    (tmp_path / "cut.flac").write_bytes(test_clips[0].read_bytes()[:20000])
    (tmp_path / "a,b.flac").write_bytes(test_clips[0].read_bytes())
    paths = [str(path) for path in sorted(tmp_path.iterdir(), reverse=True)]
    out = run_alone(artefacts, reader, [], "id_00", *paths)
    assert (out.returncode, len(out.stderr.splitlines())) == (1, 5)
    assert [line.split(":")[0] for line in out.stderr.splitlines()] == paths[:-1]
    _, row = csv.reader(out.stdout.splitlines())
    assert (row[0], np.isfinite(float(row[2]))) == (paths[-1], True)


def test_there_is_a_map_only_if_it_is_asked_for(run, tmp_path, test_clips):
    """An earlier export in the same folder is replaced."""
    for seconds in (1.0, 0.5):
        export_run(run, str(tmp_path), seconds)
    names = [output.name for output in onnx.load(tmp_path / "detector.onnx").graph.output]
    assert {*names} == {"score", "p_value", "decision", "frame_nll"}
    out = run_alone(tmp_path, "score_onnx.py", [], "id_00", str(test_clips[0]), "--map=maps")
    assert "the run was exported without --map" in out.stderr
    assert out.returncode == 2
    assert len([*tmp_path.iterdir()]) == 5
