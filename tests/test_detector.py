import shutil

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from flowasd.data.audio import find_audio
from flowasd.data.machine_ids import full_id
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.features.frontend import standardise
from flowasd.features.hearing import Heard, hear
from flowasd.training.train import train
from tests.conftest import smoke_config


def test_the_score_is_the_flows_nll_under_the_id_that_was_named(evaluated, test_clips):
    """Against the flow's log-density of the patches themselves, averaged by hand."""
    detector = Detector.load(evaluated)
    ((_, heard),) = hear(test_clips[:1], detector.frontend)
    assert isinstance(heard, Heard)
    x = standardise(heard.bands, detector.statistics)
    length = detector.config.train.patch_length
    assert len(x) == 40  # hence patches at 0 and 8, which share 24 frames
    patches = jnp.asarray(np.stack([x[:length], x[-length:]]))[..., None]
    for index, machine_id in enumerate(detector.machine_ids):
        frames = detector.flow.log_prob_frames(patches, jnp.full(2, index)) / -x.shape[1]
        total, count = np.zeros(len(x)), np.zeros(len(x))
        for nll, first in zip(np.asarray(frames), (0, len(x) - length), strict=True):
            total[first : first + length] += nll
            count[first : first + length] += 1
        (result,) = detector.results(test_clips[:1], machine_id)
        assert result.scores["mean"] == pytest.approx((total / count).mean(), rel=1e-4)
    (own,) = detector.results(test_clips[:1])
    assert own.machine_id == "id_00"


def test_unseen_id_lists_the_known_ones(evaluated, test_clips, tmp_path):
    detector = Detector.load(evaluated)
    with pytest.raises(UserError, match=r"id_99.*id_00, id_02, id_04, id_06"):
        list(detector.results(test_clips[:1], "id_99"))
    path = tmp_path / "id_99_00000000.wav"
    soundfile.write(path, np.random.default_rng(0).normal(size=16000) / 10, 16000)
    (result,) = detector.results([path])
    assert "id_00, id_02, id_04, id_06" in str(result.error)


def test_the_last_part_of_an_id_is_enough(evaluated, test_clips):
    detector = Detector.load(evaluated)
    (short,), (full,) = (list(detector.results(test_clips[:1], own)) for own in ("02", "id_02"))
    assert short == full
    assert short.machine_id == "id_02"
    assert detector.score(test_clips[:1], "02") == detector.score(test_clips[:1], "id_02")
    with pytest.raises(UserError, match="has not seen machine ID 2;"):
        full_id("2", detector.known_ids)


def test_a_recording_unlike_any_machine_is_said_to_be(evaluated, test_clips, tmp_path):
    path = tmp_path / "anomaly_id_00_00000000.wav"
    soundfile.write(path, 0.9 * np.sin(2 * np.pi * 3000 * np.arange(160000) / 16000), 16000)
    own, foreign = Detector.load(evaluated).results([test_clips[0], path])
    assert own.warning is None
    assert "is it a recording of this machine" in (foreign.warning or "")
    with pytest.warns(UserWarning, match="is it a recording of this machine"):
        Detector.load(evaluated).score(path)


def test_odd_files_are_scored_and_bad_ones_reported(evaluated, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=16000 * 2) * 0.1
    good = {
        "short": (noise[:9000], 16000, "PCM_16"),
        "eight_channels": (np.tile(noise[:, None], 8), 16000, "PCM_24"),
        "rate": (noise, 44100, "FLOAT"),
    }
    for name, (samples, rate, subtype) in good.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype)
    (tmp_path / "bad.wav").write_bytes(b"")
    detector = Detector.load(evaluated)
    results = {r.path.stem: r for r in detector.results(find_audio([str(tmp_path)]), "id_00")}
    assert set(results) == {*good, "bad"}
    assert results["bad"].error is not None
    for name in good:
        assert results[name].error is None
        assert np.isfinite(list(results[name].scores.values())).all()


def test_workdir_without_checkpoint_is_an_error(tmp_path):
    with pytest.raises(UserError, match="train first"):
        Detector.load(tmp_path)


def test_run_that_has_not_ended_does_not_score(evaluated, test_clips, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    (copy / "calibration.npz").unlink()
    with pytest.raises(UserError, match=r"calibration\.npz is missing"):
        Detector.load(copy)
    with pytest.raises(UserError, match="no calibration"):
        list(Detector.restore(copy).results(test_clips[:1]))


def test_scoring_reads_the_model_alone(evaluated, test_clips, tmp_path):
    """Neither optimiser nor config file is needed."""
    copy = tmp_path / "run"
    shutil.copytree(evaluated / "checkpoints", copy / "checkpoints")
    shutil.copy(evaluated / "calibration.npz", copy)
    for trainer in copy.glob("checkpoints/*/trainer"):
        shutil.rmtree(trainer)
    (before,) = Detector.load(evaluated).results(test_clips[:1])
    (after,) = Detector.load(copy).results(test_clips[:1])
    assert before.scores == after.scores


def test_damaged_checkpoint_is_one_line(evaluated, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    for path in copy.glob("checkpoints/*/card/metadata"):
        path.write_text("{")
    with pytest.raises(UserError, match=r"checkpoints/\d+: this checkpoint is damaged"):
        Detector.load(copy)


def test_scoring_settings_are_taken_from_a_config(evaluated, test_clips):
    config = smoke_config({"score.rule": "max"})
    detector = Detector.load(evaluated, config)
    (result,) = detector.results(test_clips[:1])
    assert result.score == result.scores["max"]
    assert detector.config == config


def test_a_run_taken_up_with_another_rule_scores_by_it(evaluated, test_clips, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    train(smoke_config({"score.rule": "max"}), copy)
    (result,) = Detector.load(copy).results(test_clips[:1])
    assert result.score == result.scores["max"]
