import csv
from dataclasses import replace
from itertools import product

import librosa
import numpy as np
import pytest

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation import assess as assess_module
from flowasd.evaluation.assess import (
    BLEND,
    SEVERITIES,
    Estimate,
    Recording,
    blended,
    changed,
    describe,
    proxy_auc,
    read_estimates,
)
from flowasd.evaluation.faults import FAULTS, SAMPLE_RATE
from flowasd.scoring.rules import RULES
from tests.evaluation.assessments import HEADER, rows, write_assessment
from tests.test_main import flowasd

# The largest level of what a fault adds, in dB relative to the recording.
LOUDEST = {"knocks": 0, "squeal": -5, "hiss": 0, "tones": -5}


@pytest.fixture
def recording():
    return 0.01 * np.random.default_rng(1).normal(size=4 * SAMPLE_RATE).astype(np.float32)


def rms(samples):
    return np.sqrt(np.mean(samples**2))


@pytest.mark.parametrize("name", FAULTS)
def test_faults_keep_the_length_and_are_the_same_for_the_same_seed(name, recording):
    once, twice = (FAULTS[name](recording, 0.7, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(once, twice)
    assert once.shape == recording.shape
    assert np.isfinite(once).all()
    assert rms(once - recording) > 0.01 * rms(recording)


@pytest.mark.parametrize("name", LOUDEST)
def test_added_sounds_have_the_level_that_is_said(name, recording):
    for severity, span in ((1.0, 0), (0.5, 25 if LOUDEST[name] == 0 else 30)):
        added = FAULTS[name](recording, severity, np.random.default_rng(0)) - recording
        level = 20 * np.log10(rms(added) / rms(recording))
        assert level == pytest.approx(LOUDEST[name] - 0.5 * bool(span) * span, abs=0.1)


def test_loudness_is_at_most_6_db(recording):
    ratios = {
        round(20 * np.log10(rms(FAULTS["loudness"](recording, 1.0, rng)) / rms(recording)), 3)
        for rng in map(np.random.default_rng, range(10))
    }
    assert ratios == {-6.0, 6.0}


@pytest.mark.parametrize("seed", range(4))
def test_speed_moves_a_tone_by_its_factor(seed):
    tone = np.sin(2 * np.pi * 1000 * np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE)
    faster = FAULTS["speed"](tone, 1.0, np.random.default_rng(seed))[: 2 * SAMPLE_RATE]
    peak = np.argmax(np.abs(np.fft.rfft(faster * np.hanning(len(faster))))) / 2
    assert min(abs(peak - 1200), abs(peak - 1000 / 1.2)) < 2


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("length", [10, 1000])
def test_short_and_silent_recordings_are_no_trouble(name, length):
    for samples in (np.zeros(length, np.float32), np.ones(length, np.float32)):
        faulty = FAULTS[name](samples, 1.0, np.random.default_rng(0))
        assert faulty.shape == samples.shape
        assert np.isfinite(faulty).all()


@pytest.fixture(scope="module")
def assessed(run, tmp_path_factory):
    """What the command prints, and the folder that it writes to."""
    folder = tmp_path_factory.mktemp("assessed")
    result = flowasd("--mode=assess", f"--workdir={run}", f"--output={folder}")
    assert result.status == 0, result.stderr
    return result.stdout, folder


@pytest.mark.slow
def test_every_rule_fault_and_severity_is_estimated(assessed):
    estimates = read_estimates(assessed[1] / "results" / "assess.csv")
    cases = {(stand_in, severity, rule) for stand_in, severity, rule, _, _ in estimates}
    assert len(cases) == len(estimates)
    assert cases == {*product([*FAULTS, BLEND], SEVERITIES, RULES)}
    assert all(0 <= estimate.auc <= 1 for estimate in estimates)
    # Noise as loud as the recording itself must be easier to tell than noise 20 dB below it.
    hiss = {e.severity: e.auc for e in estimates if (e.stand_in, e.rule) == ("hiss", "mean")}
    assert hiss[1.0] >= hiss[0.2]
    assert hiss[1.0] > 0.9


def test_a_blend_has_the_share_of_the_others_power_that_is_said():
    rng = np.random.default_rng(0)
    normal = [Recording(rng.normal(size=40000), machine_id) for machine_id in "aabc"]
    for severity in SEVERITIES:
        blend = list(blended(normal, severity))
        assert "".join(mixed.machine_id for mixed in blend) == "aaaabbcc"
        own = [normal[i].samples for i in (0, 0, 1, 1, 2, 2, 3, 3)]
        for (mixed, _), samples in zip(blend, own, strict=True):
            share = np.dot(mixed, samples) / np.dot(samples, samples)
            assert share**2 == pytest.approx(1 - severity, abs=0.03)
            assert rms(mixed) == pytest.approx(1, abs=0.03)


def test_the_proxy_is_the_mean_of_the_blend_or_of_the_faults_without_it():
    cases = (("hiss", 0.2, 0.5), ("tones", 1.0, 0.8), (BLEND, 0.2, 0.1), (BLEND, 1.0, 0.3))
    estimates = [
        Estimate(stand_in, severity, rule, auc + 0.01 * i, 0.5)
        for i, rule in enumerate(RULES)
        for stand_in, severity, auc in cases
    ]
    steps = 0.01 * np.arange(len(RULES))
    np.testing.assert_allclose([*proxy_auc(estimates).values()], 0.2 + steps)
    faults = [e for e in estimates if e.stand_in != BLEND]
    np.testing.assert_allclose([*proxy_auc(faults).values()], 0.65 + steps)


def test_blends_are_louder_or_softer_by_what_the_severity_says():
    """At severity 1 the power of the other machine's clip, by a factor of 6 dB up or down."""
    rng = np.random.default_rng(0)
    normal = [Recording(rng.normal(size=1600) / 10, f"id_0{i}") for i in range(4)]
    for severity in SEVERITIES:
        pure, blend = blended(normal, severity), changed(normal, BLEND, severity)
        changes = {
            round(20 * np.log10(rms(louder) / rms(samples)) / severity, 3)
            for (louder, _), (samples, _) in zip(blend, pure, strict=True)
        }
        assert changes == {-6, 6}


def test_a_clip_is_blended_with_few_of_many_machines():
    """All of them have a part over the clips of an ID."""
    silence, ids = np.zeros(4), [f"id_{i:02}" for i in range(8)]
    normal = [Recording(silence, machine_id) for machine_id in ids for _ in range(7)]
    normal = [recording for recording in normal if recording.machine_id != "id_03"]
    normal += [Recording(np.full(4, 2.0), "id_03")]
    blend = list(blended(normal, 1.0))
    assert len(blend) == 3 * len(normal)
    by_id = {m: sum(r.samples[0] == 2 for r in blend if r.machine_id == m) for m in ids}
    assert by_id == dict.fromkeys(ids, 3) | {"id_03": 0}


@pytest.mark.slow
def test_clips_are_heard_at_the_rate_of_the_front_end(run):
    """A tone is in the bands that librosa has it in, at half the rate of the recordings."""
    detector = Detector.load(run)
    tone = np.sin(2 * np.pi * 1000 * np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE)
    frontend = replace(detector.frontend, sample_rate=SAMPLE_RATE // 2)
    detector = replace(detector, config=replace(detector.config, frontend=frontend))
    _, heard = assess_module._bands(detector, [Recording(tone, "id_00")])
    mel = librosa.feature.melspectrogram(
        y=tone[::2],
        sr=frontend.sample_rate,
        n_fft=frontend.n_fft,
        hop_length=frontend.hop_length,
        n_mels=frontend.n_bands,
        pad_mode="constant",
    )
    (log_mel,) = heard
    assert log_mel.shape == mel.T.shape
    np.testing.assert_array_equal(log_mel[2:-2].argmax(1), mel.T[2:-2].argmax(1))


@pytest.mark.slow
def test_the_assessment_is_written_and_printed_and_says_simulated(assessed):
    text, folder = assessed
    assert "SIMULATED" in text
    with (folder / "results" / "assess.csv").open() as file:
        written = list(csv.DictReader(file))
    assert written[0].keys() == {"stand_in", "severity", "rule", "auc", "pauc"}
    assert {row["stand_in"] for row in written} == {*FAULTS, BLEND}
    # The table shows the AUC by the headline rule, in percent, a column for each severity.
    for stand_in in (*FAULTS, BLEND):
        line = next(line for line in text.splitlines() if line.startswith(f"{stand_in} "))
        own = {
            r["severity"]: r for r in written if (r["stand_in"], r["rule"]) == (stand_in, "mean")
        }
        expected = [f"{100 * float(own[str(severity)]['auc']):.1f}" for severity in SEVERITIES]
        assert line.split()[1:] == expected


def test_what_is_read_is_what_the_file_says(tmp_path):
    path = tmp_path / "assess.csv"
    assert read_estimates(path) == []
    rules = list(RULES)
    auc = {
        (rule, severity): i / 100 for i, (rule, severity) in enumerate(product(rules, SEVERITIES))
    }
    write_assessment(path, rows(lambda stand_in, severity, rule: auc[rule, severity]))
    first, *_, last = estimates = read_estimates(path)
    assert first == (next(iter(FAULTS)), SEVERITIES[0], rules[0], auc[rules[0], SEVERITIES[0]], 0.5)
    assert last == (BLEND, SEVERITIES[-1], rules[-1], auc[rules[-1], SEVERITIES[-1]], 0.5)
    assert len(estimates) == (len(FAULTS) + 1) * len(SEVERITIES) * len(rules)
    write_assessment(path, rows(blend=False))  # of one machine ID
    assert {estimate.stand_in for estimate in read_estimates(path)} == {*FAULTS}


def test_a_rule_more_or_less_is_no_reason_to_refuse_a_file(tmp_path):
    """It was written before a rule was added, or by a version that has one more."""
    path = tmp_path / "assess.csv"
    first, *others = RULES
    write_assessment(path, rows(rules=others))
    assert {estimate.rule for estimate in read_estimates(path)} == {*others}
    write_assessment(path, rows(rules=[first, "rule of another version"]))
    assert {estimate.rule for estimate in read_estimates(path)} == {first}


def without(part: str) -> list[str]:
    return [row for row in rows() if part not in row]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [HEADER],
        [HEADER, "hiss,0.2,mean,0.5"],
        [HEADER, "hiss,0.2,mean,high,0.5"],
        [HEADER, "hiss,0.2,mean,0.5,0.5"],  # one rule, stand-in and severity alone
        [HEADER, *rows()[:-1]],
        [HEADER, *rows()[: len(rows()) // 2]],
        [HEADER, *without("hiss")],
        [HEADER, *without(",0.6,")],
        [HEADER, *(row.replace(BLEND, "other machine") for row in rows())],
        [HEADER, *(row.replace(",0.6,", ",0.4,") for row in rows())],  # another severity
        [HEADER, *rows(lambda *_: 1.5)],
        [HEADER, *rows(lambda *_: float("nan"))],
        ["a,b,c,d,e", *rows()],
        rows(),
    ],
)
def test_a_damaged_or_older_file_is_an_error(tmp_path, lines):
    path = tmp_path / "assess.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(UserError, match=r"assess\.csv: damaged .* --mode=assess"):
        read_estimates(path)


def test_a_file_whose_last_figure_is_cut_off_is_an_error(tmp_path):
    path = tmp_path / "assess.csv"
    write_assessment(path)
    path.write_text(path.read_text().removesuffix("\n")[:-1])
    with pytest.raises(UserError, match=r"assess\.csv: damaged"):
        read_estimates(path)


def test_rules_that_tell_nothing_apart_have_no_figure():
    """In one cell, 50 is a figure as any other; in all of them, every clip has the same score."""
    cells = {"mean": (0.9, 0.5), "std": (0.5, 0.5), "max": (0.5, 0.6)}
    estimates = [
        Estimate(BLEND, severity, rule, *cells[rule]) for severity in SEVERITIES for rule in cells
    ]
    last = describe(estimates, "mean").splitlines()[-1]
    assert last == "AUC on stand-ins, by rule: mean 90.0, max 50.0"
