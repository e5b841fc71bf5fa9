"""What leaves Python: both artefacts against the detector.

The artefacts are exported by the command, in a process of its own.
"""

import json
import shutil
import sys
import zipfile
from typing import Any

import jax
import jax.export
import numpy as np
import onnxruntime
import pytest

from flowasd.data.audio import read_audio
from flowasd.data.machine_ids import told_id
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.serving.export import export_run
from flowasd.serving.exported_rules import EXPORTED_RULES
from flowasd.serving.program import scoring_program
from tests.conftest import smoke_config
from tests.run.recordings import copy_run
from tests.serving.exported import assert_maps_agree
from tests.test_main import assert_refused, flowasd, from_the_shell

ALPHA = np.float32(0.1)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session(artefacts):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(artefacts / "detector.onnx", options)


def batch_of(paths, detector):
    samples = np.stack([read_audio(path) for path in paths])
    ids = [told_id(path, detector.known_ids, detector.config.data) for path in paths]
    return samples, np.array([detector.known_ids.index(m) for m in ids], np.int32)


def by_onnx(session, samples, machine, **more):
    names = [output.name for output in session.get_outputs()]
    inputs = {"samples": samples, "machine": machine, **more}
    return dict(zip(names, session.run(None, inputs), strict=True))


def by_jax(artefacts, samples, machine, alpha=ALPHA):
    with zipfile.ZipFile(artefacts / "detector.jax") as archive:
        program = jax.export.deserialize(bytearray(archive.read("program.bin")))
    assert program.platforms == ("cpu", "cuda", "tpu")
    outputs: Any = program.call(samples, machine, alpha)
    return {name: np.asarray(value) for name, value in outputs.items()}


def assert_agree(outputs, results, alpha):
    scores, p = (np.array([getattr(r, name) for r in results]) for name in ("score", "p_value"))
    np.testing.assert_allclose(outputs["score"], scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(outputs["p_value"], p, rtol=1e-6)
    np.testing.assert_array_equal(outputs["decision"], p <= alpha)


def test_both_give_the_scores_of_the_detector(artefacts, session, detector, test_clips):
    samples, machine = batch_of(test_clips, detector)
    results = list(detector.results(test_clips))
    for outputs in (by_onnx(session, samples, machine), by_jax(artefacts, samples, machine)):
        assert_agree(outputs, results, ALPHA)
        means = outputs["frame_nll"].mean(1)
        np.testing.assert_allclose(means, outputs["score"], rtol=1e-5)


def test_both_give_the_map_of_the_explanation(artefacts, session, detector, test_clips):
    some = test_clips[::4]
    assert len({told_id(path, detector.known_ids, detector.config.data) for path in some}) > 1
    samples, machine = batch_of(some, detector)
    for outputs in (by_onnx(session, samples, machine), by_jax(artefacts, samples, machine)):
        assert_maps_agree(outputs["map"], [detector.explain(path) for path in some])


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


def test_one_clip_is_a_batch_too(session, artefacts, detector, test_clips):
    samples, machine = batch_of(test_clips[:1], detector)
    results = list(detector.results(test_clips[:1]))
    assert_agree(by_onnx(session, samples, machine), results, ALPHA)
    assert_agree(by_jax(artefacts, samples, machine), results, ALPHA)


def test_the_rate_of_false_alarms_can_be_moved(session, artefacts, detector, test_clips):
    samples, machine = batch_of(test_clips[:4], detector)
    for alpha, decision in ((0.0, 0), (1.0, 1)):
        moved = np.float32(alpha)
        assert (
            by_onnx(session, samples, machine, alpha=np.asarray(moved))["decision"] == decision
        ).all()
        assert (by_jax(artefacts, samples, machine, moved)["decision"] == decision).all()


def test_what_is_not_valid_is_nan_and_no_alarm(session, artefacts, detector, test_clips):
    samples, machine = batch_of(test_clips[:3], detector)
    samples[0, 7], machine[1] = np.nan, 99
    for outputs in (by_onnx(session, samples, machine), by_jax(artefacts, samples, machine)):
        for name in ("score", "p_value"):
            assert np.isnan(outputs[name]).tolist() == [True, True, False]
        assert np.isnan(outputs["map"]).all((1, 2)).tolist() == [True, True, False]
        assert (outputs["decision"][:2] == 0).all()


def test_metadata_are_inside_both(artefacts, session, detector):
    inside = json.loads(session.get_modelmeta().custom_metadata_map["flowasd"])
    with zipfile.ZipFile(artefacts / "detector.jax") as archive:
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
