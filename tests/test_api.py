"""`import flowasd`, and what a detector says of files and of waveforms."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
import soxr

import flowasd
from flowasd.data.machine_ids import told_id
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.features.frontend import FrontendConfig
from flowasd.features.pooling import PoolingConfig, pool
from flowasd.features.recordings import files_of
from flowasd.serving.score_files import score_files
from tests.conftest import REPO

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector(run):
    return Detector.load(str(run))


@pytest.fixture(scope="module")
def waveforms(test_clips):
    return [soundfile.read(path, dtype="float32")[0] for path in test_clips[:3]]


def test_the_import_is_light():
    line = (
        "import sys, flowasd; assert {'fit', 'Detector'} <= set(dir(flowasd));"
        "sys.exit(len({'jax', 'numpy', 'sklearn', 'absl'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", line], cwd=REPO).returncode == 0


def test_public_names_are_those_of_their_modules():
    assert flowasd.Detector is Detector
    assert flowasd.UserError is UserError
    assert callable(flowasd.fit)
    with pytest.raises(AttributeError, match="nothing"):
        flowasd.nothing  # noqa: B018


def test_scores_are_those_of_the_results(detector, test_clips):
    expected = list(detector.results(test_clips[:3]))
    scores = detector.score([str(path) for path in test_clips[:3]])
    assert scores.dtype == np.float64
    assert scores.tolist() == [result.score for result in expected]
    decisions = detector.decide(test_clips[:3], alpha=0.3)
    assert decisions.p_values.tolist() == [result.p_value for result in expected]
    assert decisions.alarms.tolist() == [result.p_value <= 0.3 for result in expected]
    as_configured = detector.decide(test_clips[:3]).alarms
    assert (as_configured == (decisions.p_values <= detector.config.score.alpha)).all()


def test_results_take_what_score_takes(detector, test_clips, waveforms):
    expected = [result.score for result in detector.results(test_clips[:2])]
    assert [r.score for r in detector.results([str(p) for p in test_clips[:2]])] == expected
    assert [r.score for r in detector.results(str(test_clips[0]))] == expected[:1]
    with pytest.raises(UserError, match="not files; score takes waveforms"):
        files_of(waveforms)


def test_a_rate_that_is_none_is_refused(detector, test_clips):
    for alpha in (0.0, 1.0, 5.0):
        with pytest.raises(UserError, match=f"alpha={alpha:g} must be above 0 and below 1"):
            detector.decide(test_clips[:1], alpha=alpha)
    with pytest.raises(UserError, match="fdr=2 must be above 0 and below 1"):
        detector.decide(test_clips[:1], fdr=2.0)
    with pytest.raises(UserError, match="two ways to decide"):
        detector.decide(test_clips[:1], alpha=0.1, fdr=0.1)


@pytest.mark.parametrize("fdr", [0.1, 0.4, 0.9])
def test_a_false_discovery_rate_is_that_of_benjamini_and_hochberg(detector, test_clips, fdr):
    """By the procedure as the paper states it: the k lowest of n, the last below k / n times it."""
    p, alarms = detector.decide(test_clips, fdr=fdr)
    ranked = np.sort(p)
    below = np.flatnonzero(ranked <= fdr * np.arange(1, len(p) + 1) / len(p))
    assert alarms.tolist() == [len(below) > 0 and own <= ranked[below[-1]] for own in p]


def test_a_detector_is_shown_on_one_line(detector, run):
    assert repr(detector) == (
        "Detector(machine_ids=['id_00', 'id_02', 'id_04', 'id_06'], kind='SIMULATED', step=0, "
        f"workdir={run!r})"
    )


def test_waveforms_score_as_their_files(detector, test_clips, waveforms):
    ids = [told_id(path, detector.known_ids, detector.config.data) for path in test_clips[:3]]
    expected = detector.score(test_clips[:3])
    assert (detector.score(waveforms, ids) == expected).all()
    assert (detector.score(np.stack(waveforms), ids) == expected).all()
    assert detector.score(waveforms[0], ids[0])[0] == expected[0]
    slower = [soxr.resample(samples, 48000, 16000, quality="HQ") for samples in waveforms]
    scores = detector.score(waveforms, ids, sample_rate=48000)
    assert (scores == detector.score(slower, ids)).all()


def test_a_folder_stands_for_its_files(detector, test_clips, tmp_path):
    for path in test_clips[:2]:
        (tmp_path / path.name).symlink_to(path)
    assert (detector.score(tmp_path) == detector.score(sorted(test_clips[:2]))).all()


def test_frames_are_those_of_the_clip(detector, test_clips):
    (frames,) = detector.frame_scores(test_clips[:1])
    (result,) = detector.results(test_clips[:1])
    assert frames.nll.mean() == pytest.approx(result.scores["mean"], rel=1e-5)
    assert frames.nll.max() == pytest.approx(result.scores["max"], rel=1e-5)
    assert frames.seconds[0] == 0
    np.testing.assert_allclose(np.diff(frames.seconds), 4096 / 16000)


@pytest.mark.parametrize("n_samples", [100, 16000, 40000, 160000])
def test_times_are_those_of_what_is_pooled(n_samples):
    """The mean of a band that says the time is the time of the window's centre."""
    config = FrontendConfig(hop_length=512, pooling=PoolingConfig(window=2.0, hop=0.7))
    seconds = np.arange(config.n_spectra(n_samples)) * 512 / 16000
    window, hop = config.windows
    spectra = jnp.asarray(seconds[:, None], jnp.float32)
    pooled = pool(spectra, jnp.int32(len(spectra)), window=window, hop=hop, decay=1.0)
    times = config.frame_times(config.n_spectra(n_samples))
    np.testing.assert_allclose(times, np.asarray(pooled)[:, 0], atol=1e-4)


def test_what_cannot_be_used_is_named(detector, test_clips, waveforms, tmp_path):
    with pytest.raises(UserError, match=r"missing\.wav: no such file"):
        detector.score([test_clips[0], tmp_path / "missing.wav"])
    with pytest.raises(UserError, match=r"recordings\[1\].*float"):
        detector.score([waveforms[0], (waveforms[1] * 32767).astype(np.int16)], "id_00")
    with pytest.raises(UserError, match=r"recordings\[0\].*NaN"):
        detector.score(np.full((1, 100), np.nan), "id_00")
    with pytest.raises(UserError, match=r"recordings\[0\].*shape \(0,\)"):
        detector.score([np.zeros(0)], "id_00")
    with pytest.raises(UserError, match=r"recordings\[0\].*machine_ids"):
        detector.score(waveforms)
    with pytest.raises(UserError, match="3 recordings and 2 machine_ids"):
        detector.score(waveforms, ["id_00", "id_02"])
    with pytest.raises(UserError, match="sample_rate"):
        detector.score(test_clips[:1], sample_rate=8000)


def test_a_saved_detector_is_the_same(detector, test_clips, waveforms, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    wider = detector.enrol(waveforms[:2], "id_08")
    wider.save("~/saved")
    again = Detector.load("~/saved")
    assert again.known_ids == [*detector.known_ids, "id_08"]
    assert (again.score(waveforms, "id_08") == wider.score(waveforms, "id_08")).all()
    output = tmp_path / "scores.csv"
    assert score_files(tmp_path / "saved", [str(test_clips[0])], "id_08", str(output)) == 0
    with pytest.raises(UserError, match="saved is not empty"):
        detector.save("~/saved")
