"""What leaves Python: both artefacts against the detector, and in processes without flowasd.

The artefacts are exported by the command, in a process of its own.
"""

import csv
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
import onnx
import onnxruntime
import pytest
import soundfile

from flowasd.data.audio import read_audio
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.serving.export import export_run
from flowasd.serving.exported_rules import EXPORTED_RULES
from flowasd.serving.program import scoring_program
from tests.conftest import smoke_config
from tests.run.recordings import copy_run
from tests.test_main import assert_refused, flowasd, from_the_shell

NOISE = np.random.default_rng(0).normal(size=16000) / 10

ALPHA = np.float32(0.1)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Both artefacts of the smoke run, with maps."""
    folder = tmp_path_factory.mktemp("export")
    result = from_the_shell("export", run, f"--output={folder}", "--map")
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.startswith("Clips of 10 s at 16000 Hz, rule mean:\n")
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


def test_both_give_the_map_of_the_explanation(folder, session, detector, test_clips):
    some = test_clips[::4]
    assert len({detector.machine_id_of(path) for path in some}) > 1
    samples, machine = batch_of(some, detector)
    for outputs in (by_onnx(session, samples, machine), by_jax(folder, samples, machine)):
        assert_maps_agree(outputs["map"], [detector.explain(path) for path in some])


def assert_maps_agree(maps, explanations):
    """To a ten-thousandth of a clip's largest cell."""
    for own, explained in zip(maps, explanations, strict=True):
        tolerance = 1e-4 * np.abs(explained.map).max()
        np.testing.assert_allclose(own, explained.map, rtol=0, atol=tolerance)


def test_the_map_of_an_enrolled_machine_is_that_of_its_detector(run, test_clips):
    """By `relative`, which sets it against itself and those that were trained on."""
    detector = Detector.load(run, smoke_config({"score.rule": "relative"}))
    detector = detector.enrol(test_clips[:3], "id_08").enrol(test_clips[4:6], "id_10")
    samples, machine = batch_of(test_clips[::6], detector)
    machine[1:] = detector.known_ids.index("id_08")
    program = jax.jit(scoring_program(detector, samples.shape[1], with_map=True).call)
    ids = [detector.known_ids[m] for m in machine]
    explained = [detector.explain(p, m) for p, m in zip(test_clips[::6], ids, strict=True)]
    assert_maps_agree(program(samples, machine, ALPHA)["map"], explained)


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
        assert np.isnan(outputs["map"]).all((1, 2)).tolist() == [True, True, False]
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
    assert (inside["has_map"], inside["seconds_per_spectrum"]) == (True, 0.256)
    assert len(inside["band_edges"]) == 33
    assert len(inside["training"]["parameters"]) == 64


def run_alone(folder, reader, absent, *arguments):
    """Runs a reader in a process that does not see the repository nor the `absent` modules."""
    block = f"import runpy, sys; sys.modules.update(dict.fromkeys({absent!r}))"
    run = f"{block}; runpy.run_path({str(folder / reader)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", run, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"},
    )


@pytest.mark.parametrize(
    ("reader", "absent"),
    [("score_onnx.py", ["flowasd", "jax"]), ("score.py", ["flowasd", "flax", "onnxruntime"])],
)
def test_a_process_without_flowasd_scores_a_clip(
    reader, absent, folder, detector, test_clips, tmp_path
):
    path = test_clips[0]
    (expected,) = detector.results([path])
    words = [expected.machine_id, str(path), "--alpha=1", f"--map={tmp_path / 'maps'}"]
    out = run_alone(folder, reader, absent, *words)
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
def test_readers_refuse_other_lengths_and_unknown_machines(reader, folder, test_clips, tmp_path):
    soundfile.write(tmp_path / "short.wav", NOISE, 16000)
    out = run_alone(folder, reader, [], "id_00", str(tmp_path / "short.wav"))
    assert "short.wav: must have 160000 samples at 16000 Hz" in out.stderr
    out = run_alone(folder, reader, [], "id_99", str(test_clips[0]))
    assert "invalid choice: 'id_99' (choose from" in out.stderr
    assert out.returncode == 2


@pytest.mark.parametrize("reader", ["score_onnx.py", "score.py"])
def test_readers_score_no_recording_that_cannot_be_judged(reader, folder, test_clips, tmp_path):
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
    out = run_alone(folder, reader, [], "id_00", *paths)
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
    assert len([*tmp_path.iterdir()]) == 4


@pytest.mark.parametrize("rule", EXPORTED_RULES)
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


def test_a_folder_with_other_files_is_refused(run, tmp_path):
    (tmp_path / "recording.wav").touch()
    words = ("recording.wav", "name another folder with --output")
    assert_refused(flowasd("export", run, f"--output={tmp_path}"), *words)
    assert_refused(flowasd("export", run, f"--output={tmp_path / 'recording.wav'}"), "recording")
    assert len([*tmp_path.iterdir()]) == 1


def test_a_run_without_what_is_exported_is_refused(run, tmp_path):
    """Without a reference there are scores, but no maps; without a calibration, nothing."""
    copy, output = copy_run(run, tmp_path / "run"), f"--output={tmp_path / 'export'}"
    (copy / "reference.npz").unlink()
    result = flowasd("export", copy, output, "--map")
    assert_refused(result, "no reference.npz; repeat its training command")
    (copy / "calibration.npz").unlink()
    assert_refused(flowasd("export", copy, output), "calibration.npz")
    assert not (tmp_path / "export").exists()


def test_an_unknown_platform_is_refused(run, tmp_path):
    result = from_the_shell(
        "export", run, f"--output={tmp_path / 'export'}", environment={"JAX_PLATFORMS": "nowhere"}
    )
    assert_refused(result, "JAX_PLATFORMS=nowhere: JAX does not find such a device")


def test_a_length_is_named_or_that_of_the_training_clips(run, tmp_path):
    with pytest.raises(UserError, match=r"--seconds=0.*one sample"):
        export_run(run, str(tmp_path), seconds=0.0)
    moved = shutil.copytree(run, tmp_path / "run")
    config = smoke_config({"data.root": str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match="or name the length of the clips with --seconds"):
        export_run(moved, None, config=config)


@pytest.mark.parametrize("package", ["onnx", "flatbuffers"])
def test_a_missing_package_is_one_line(package, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    for module in ("to_onnx", "onnx_graph", "onnx_primitives"):
        monkeypatch.delitem(sys.modules, f"flowasd.serving.{module}", raising=False)
    monkeypatch.delitem(sys.modules, "jax._src.export.serialization", raising=False)
    with pytest.raises(UserError, match=r"install the extra, 'flowasd\[export\]'"):
        export_run(run, str(tmp_path / "export"), seconds=1.0)
    assert not (tmp_path / "export").exists()
