"""What leaves Python: both artefacts against the detector, and in processes without flowasd."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from typing import Any

import jax
import jax.export
import numpy as np
import onnxruntime
import pytest
import soundfile

from flowasd.data.audio import read_audio
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.serving.export import export_run
from flowasd.serving.program import RULES, scoring_program
from tests.conftest import smoke_config

NOISE = np.random.default_rng(0).normal(size=16000) / 10

ALPHA = np.float32(0.1)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Both artefacts of the smoke run."""
    folder = tmp_path_factory.mktemp("export")
    text = export_run(run, str(folder))
    assert "Clips of 10 s at 16000 Hz, rule mean" in text
    return folder


@pytest.fixture(scope="module")
def detector(run):
    return Detector.load(run)


@pytest.fixture(scope="module")
def session(folder):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(folder / "detector.onnx", options)


def batch_of(paths, detector):
    samples = np.stack([read_audio(path) for path in paths])
    ids = [detector.machine_id_of(path) for path in paths]
    return samples, np.array([detector.known_ids.index(m) for m in ids], np.int32)


def by_onnx(session, samples, machine, **more):
    names = [output.name for output in session.get_outputs()]
    inputs = {"samples": samples, "machine": machine, **more}
    return dict(zip(names, session.run(None, inputs), strict=True))


def by_jax(folder, samples, machine, alpha=ALPHA):
    with zipfile.ZipFile(folder / "detector.jax") as archive:
        program = jax.export.deserialize(bytearray(archive.read("program.bin")))
    assert program.platforms == ("cpu", "cuda", "tpu")
    outputs: Any = program.call(samples, machine, alpha)
    return {name: np.asarray(value) for name, value in outputs.items()}


def assert_agree(outputs, results, alpha):
    scores, p = (np.array([getattr(r, name) for r in results]) for name in ("score", "p_value"))
    np.testing.assert_allclose(outputs["score"], scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(outputs["p_value"], p, rtol=1e-6)
    np.testing.assert_array_equal(outputs["decision"], p <= alpha)


def test_both_give_the_scores_of_the_detector(folder, session, detector, test_clips):
    samples, machine = batch_of(test_clips, detector)
    results = list(detector.results(test_clips))
    for outputs in (by_onnx(session, samples, machine), by_jax(folder, samples, machine)):
        assert_agree(outputs, results, ALPHA)
        means = outputs["frame_nll"].mean(1)
        np.testing.assert_allclose(means, outputs["score"], rtol=1e-5)


def test_one_clip_is_a_batch_too(session, folder, detector, test_clips):
    samples, machine = batch_of(test_clips[:1], detector)
    results = list(detector.results(test_clips[:1]))
    assert_agree(by_onnx(session, samples, machine), results, ALPHA)
    assert_agree(by_jax(folder, samples, machine), results, ALPHA)


def test_the_rate_of_false_alarms_can_be_moved(session, folder, detector, test_clips):
    samples, machine = batch_of(test_clips[:4], detector)
    for alpha, decision in ((0.0, 0), (1.0, 1)):
        moved = np.float32(alpha)
        assert (
            by_onnx(session, samples, machine, alpha=np.asarray(moved))["decision"] == decision
        ).all()
        assert (by_jax(folder, samples, machine, moved)["decision"] == decision).all()


def test_what_is_not_valid_is_nan_and_no_alarm(session, folder, detector, test_clips):
    samples, machine = batch_of(test_clips[:3], detector)
    samples[0, 7], machine[1] = np.nan, 99
    for outputs in (by_onnx(session, samples, machine), by_jax(folder, samples, machine)):
        for name in ("score", "p_value"):
            assert np.isnan(outputs[name]).tolist() == [True, True, False]
        assert (outputs["decision"][:2] == 0).all()


def test_metadata_are_inside_both(folder, session, detector):
    inside = json.loads(session.get_modelmeta().custom_metadata_map["flowasd"])
    with zipfile.ZipFile(folder / "detector.jax") as archive:
        assert json.loads(archive.read("metadata.json")) == inside
    assert inside["machine_ids"] == detector.known_ids
    assert (inside["sample_rate"], inside["n_samples"]) == (16000, 160000)
    assert (inside["rule"], inside["alpha"]) == ("mean", 0.1)
    assert inside["normal_clips"] == detector.normal_clips
    assert inside["recordings"] == "SIMULATED"
    assert inside["units"]["score"] == "nats per dimension"
    assert len(inside["training"]["parameters"]) == 64


def run_alone(folder, reader, absent, *arguments):
    """Runs a reader in a process that does not see the repository."""
    check = f"import sys; assert not {absent!r} & sys.modules.keys(), sys.modules.keys()"
    run = f"import runpy; runpy.run_path({str(folder / reader)!r}, run_name='__main__'); {check}"
    return subprocess.run(
        [sys.executable, "-c", run, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"},
    )


@pytest.mark.parametrize(
    ("reader", "absent"),
    [("score_onnx.py", {"flowasd", "jax"}), ("score.py", {"flowasd", "flax", "onnxruntime"})],
)
def test_a_process_without_flowasd_scores_a_clip(reader, absent, folder, detector, test_clips):
    path = test_clips[0]
    (expected,) = detector.results([path])
    out = run_alone(folder, reader, absent, expected.machine_id, str(path), "--alpha=1")
    assert out.returncode == 0, out.stderr
    header, row = out.stdout.splitlines()
    assert header == "path,machine_id,score,p_value,decision"
    name, machine_id, *values = row.split(",")
    assert (name, machine_id, values[2]) == (str(path), expected.machine_id, "1")
    assert float(values[0]) == pytest.approx(expected.score, abs=1e-4)
    assert float(values[1]) == pytest.approx(expected.p_value, rel=1e-5)


@pytest.mark.parametrize("reader", ["score_onnx.py", "score.py"])
def test_readers_refuse_other_lengths_and_unknown_machines(reader, folder, test_clips, tmp_path):
    soundfile.write(tmp_path / "short.wav", NOISE, 16000)
    out = run_alone(folder, reader, set(), "id_00", str(tmp_path / "short.wav"))
    assert "short.wav must have 160000 samples at 16000 Hz" in out.stderr
    out = run_alone(folder, reader, set(), "id_99", str(test_clips[0]))
    assert "id_99 is none of id_00" in out.stderr


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_the_program_is_that_of_the_detector(rule, run, test_clips):
    """Also of an enrolled machine, which is set against itself and those that were trained on."""
    detector = Detector.load(run, smoke_config({"score.rule": rule}))
    detector = detector.enrol(test_clips[:3], "id_08").enrol(test_clips[4:6], "id_10")
    samples, machine = batch_of(test_clips[::3], detector)
    program = jax.jit(scoring_program(detector, samples.shape[1]).call)
    outputs = {name: np.asarray(v) for name, v in program(samples, machine, ALPHA).items()}
    assert_agree(outputs, list(detector.results(test_clips[::3])), ALPHA)
    for new in ("id_08", "id_10"):
        index = np.full_like(machine, detector.known_ids.index(new))
        outputs = {name: np.asarray(v) for name, v in program(samples, index, ALPHA).items()}
        assert_agree(outputs, list(detector.results(test_clips[::3], new)), ALPHA)


def test_another_rule_is_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"the rule p75 cannot be exported; .*=mean\|std"):
        export_run(run, str(tmp_path), config=smoke_config({"score.rule": "p75"}))


def test_a_length_is_named_or_that_of_the_training_clips(run, tmp_path):
    with pytest.raises(UserError, match=r"--seconds=0.*one sample"):
        export_run(run, str(tmp_path), seconds=0.0)
    moved = shutil.copytree(run, tmp_path / "run")
    config = smoke_config({"data.root": str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match="or name the length of the clips with --seconds"):
        export_run(moved, str(tmp_path), config=config)


@pytest.mark.parametrize("package", ["onnx", "flatbuffers"])
def test_a_missing_package_is_one_line(package, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    for module in ("to_onnx", "onnx_graph", "onnx_primitives"):
        monkeypatch.delitem(sys.modules, f"flowasd.serving.{module}", raising=False)
    monkeypatch.delitem(sys.modules, "jax._src.export.serialization", raising=False)
    with pytest.raises(UserError, match=r"install the extra, 'flowasd\[export\]'"):
        export_run(run, str(tmp_path / "export"), seconds=1.0)
    assert not (tmp_path / "export").exists()
