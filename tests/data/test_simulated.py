import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import librosa
import numpy as np
import pytest
import soundfile
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from flowasd.data.audio import read_audio
from flowasd.data.dataset import read_dataset
from flowasd.data.simulated import corpus as simulate
from flowasd.data.simulated.corpus import simulate_clip, simulated_corpus
from flowasd.data.simulated.slide_rail import CAUSES, RAILS, damage, rail_sound
from flowasd.errors import UserError

RATE = 16000
SILENT = replace(RAILS["id_00"], harmonics=(), resonances=(), rolling=0.0, hiss=0.0, thud=0.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return simulated_corpus(tmp_path_factory.mktemp("corpora"), seed=0, n_train=16, n_test=12)


def contents(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def log_mel_mean(path):
    mel = librosa.feature.melspectrogram(y=read_audio(path), sr=RATE, n_fft=1024, n_mels=128)
    return np.log(mel + 1e-10).mean(axis=1)


@pytest.mark.slow
def test_the_corpus_is_a_dcase_data_set(corpus):
    dataset = read_dataset(corpus)
    assert dataset.machine_type == "slider"
    for machine_id in ("id_00", "id_02", "id_04", "id_06"):
        assert [c.label for c in dataset.train if c.machine_id == machine_id] == [0] * 16
        labels = [clip.label for clip in dataset.test if clip.machine_id == machine_id]
        assert (labels.count(0), labels.count(1), len(labels)) == (12, 12, 24)


@pytest.mark.slow
def test_every_anomalous_clip_is_listed_with_its_fault(corpus):
    with (corpus / "slider" / "faults.csv").open() as file:
        faults = list(csv.DictReader(file))
    anomalous = [clip.name for clip in read_dataset(corpus).test if clip.label == 1]
    assert sorted(fault["file"] for fault in faults) == anomalous
    assert {fault["cause"] for fault in faults} == set(CAUSES)
    severities = [float(fault["severity"]) for fault in faults]
    assert 0 < min(severities) < 0.5 < max(severities) <= 1


@pytest.mark.slow
def test_clips_are_as_mimiis_slide_rails_in_format_and_level(corpus):
    for clip in read_dataset(corpus).test[::7]:
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.frames) == (RATE, 1, 10 * RATE)
        assert (info.format, info.subtype) == ("FLAC", "PCM_16")
        # The real ones lie at -40 to -36 dB.
        assert -43 < 20 * np.log10(read_audio(clip.path).std()) < -33


@pytest.mark.slow
def test_the_corpus_is_neither_trivial_nor_hopeless(corpus):
    dataset = read_dataset(corpus)
    aucs = []
    for machine_id in RAILS:
        train = [log_mel_mean(c.path) for c in dataset.train if c.machine_id == machine_id]
        test = [clip for clip in dataset.test if clip.machine_id == machine_id]
        scores = LedoitWolf().fit(train).mahalanobis([log_mel_mean(clip.path) for clip in test])
        aucs.append(roc_auc_score([clip.label for clip in test], scores))
    assert 0.65 < np.mean(aucs) < 0.95


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    first = contents(simulated_corpus(tmp_path / "a", seed=3, n_train=1, n_test=1))
    again = contents(simulated_corpus(tmp_path / "b", seed=3, n_train=1, n_test=1))
    other = contents(simulated_corpus(tmp_path / "a", seed=4, n_train=1, n_test=1))
    assert first == again
    assert all(first[name] != other[name] for name in first)
    assert len(set(first.values())) == len(first)


@pytest.mark.slow
def test_a_larger_corpus_begins_with_the_clips_of_a_smaller(tmp_path, corpus):
    small = contents(simulated_corpus(tmp_path, seed=0, n_train=2, n_test=1))
    large = contents(corpus)
    assert all(large[name] == small[name] for name in small if name.endswith(".flac"))


@pytest.mark.slow
def test_a_corpus_is_written_once(corpus, monkeypatch):
    monkeypatch.setattr(simulate, "simulate_clip", None)  # not to be called again
    assert simulated_corpus(corpus.parent, seed=0, n_train=16, n_test=12) == corpus


def test_an_interrupted_corpus_leaves_nothing_behind(tmp_path, monkeypatch):
    written = []

    def interrupted(path, *args):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulated_corpus(tmp_path, seed=0, n_train=1, n_test=1)
    assert list(tmp_path.iterdir()) == []
    assert len(read_dataset(simulated_corpus(tmp_path, seed=0, n_train=1, n_test=1)).train) == 4


def test_a_clip_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    """Libsndfile tells a full disk as a damaged FLAC file."""

    def full(*_):
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(UserError, match=r"normal_id_00_00000000.flac: cannot be written"):
        simulated_corpus(tmp_path, seed=0, n_train=1, n_test=1)
    assert not any(tmp_path.iterdir())


def test_two_writers_at_once_do_no_harm(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(simulated_corpus, tmp_path, 0, 1, 1) for _ in range(2)]
    first, second = (future.result() for future in futures)
    assert first == second
    assert list(tmp_path.iterdir()) == [first]
    assert len(read_dataset(first).test) == 8


@pytest.mark.parametrize("machine_id", ["id_00", "id_04", "id_06"])
def test_the_carriage_goes_to_and_fro_in_its_period(machine_id):
    rail = RAILS[machine_id]
    sound = rail_sound(rail, np.random.default_rng(0))
    level = np.square(sound).reshape(-1, 160).mean(axis=1)  # of 10 ms
    centred = level - level.mean()
    period = sum(rail.strokes) + 2 * rail.rest
    lags = np.arange(round(60 * period), round(140 * period))
    correlation = [centred[lag:] @ centred[:-lag] / (len(level) - lag) for lag in lags]
    assert lags[np.argmax(correlation)] / 100 == pytest.approx(period, rel=0.03)


def test_the_motor_sounds_at_its_multiples_while_the_carriage_cruises():
    # One stroke that outlasts the clip, so that some of it is spent at top speed.
    rail = replace(SILENT, strokes=(15.0, 15.0), rest=0.0, whine=500.0, harmonics=(0.0, 1.0, 0.3))
    sound = rail_sound(replace(rail, ripple=0.0), np.random.default_rng(1))
    spectrum = np.abs(np.fft.rfft(sound))
    # Strokes differ by about 1 % in duration, and so in speed.
    assert np.argmax(spectrum) / 10 == pytest.approx(1000, rel=0.03)
    assert spectrum[14000:16000].max() > 20 * spectrum[18000:].max()


def test_a_damaged_place_knocks_where_it_is_on_the_way_out_and_on_the_way_back():
    rail = replace(SILENT, strokes=(1.0, 1.0), rest=0.5, knock=1.0, knock_at=0.3)
    sound = rail_sound(rail, np.random.default_rng(2))
    times = np.flatnonzero(np.abs(sound) > 0.05) / RATE
    passes = times[np.diff(times, prepend=-1) > 0.5]
    # Places 0.3 and 0.7 of the way lie 0.4 apart; cruising takes 0.75 s for the whole way.
    gaps = np.sort(np.diff(passes))
    np.testing.assert_allclose(gaps[:2], 1.5 - 0.4 * 0.75, atol=0.1)
    np.testing.assert_allclose(gaps[-2:], 1.5 + 0.4 * 0.75, atol=0.1)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_fault_without_severity_is_none(cause):
    for rail in RAILS.values():
        assert damage(rail, cause, severity=0.0, place=rail.knock_at) == rail
        assert damage(rail, cause, severity=0.1, place=rail.knock_at) != rail


def test_load_slows_the_carriage_and_lowers_the_motor_alike():
    rail = RAILS["id_04"]
    loaded = damage(rail, "motor load", severity=1.0, place=0.5)
    assert loaded.strokes[0] / rail.strokes[0] == pytest.approx(rail.whine / loaded.whine)
    assert loaded.strokes[0] > rail.strokes[0]


def test_dry_rails_hiss_more_the_drier_they_are():
    def bright(severity):
        rng = np.random.default_rng(5)
        spectrum = np.fft.rfft(simulate_clip("id_06", rng, "no grease", severity))
        return np.square(np.abs(spectrum[50000:])).sum()  # above 5 kHz

    assert bright(0.1) < bright(0.5) < bright(1.0)


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="unknown fault 'rust'"):
        simulate_clip("id_00", np.random.default_rng(0), "rust", 1.0)
