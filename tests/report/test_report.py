"""The report as a reader meets it."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.report.evaluations import (
    ALPHA,
    NORMAL,
    make_clip,
    make_clips,
    make_example,
    make_explanation,
)

pytestmark = pytest.mark.slow

BARE = {"history": [], "examples": []}  # what tests of the rest need not wait for
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.mark.parametrize(
    ("data", "trained_on"),
    [("real", "real"), ("SIMULATED", "SIMULATED"), ("real", "SIMULATED"), ("SIMULATED", "real")],
)
def test_says_simulated_if_and_only_if(report, data, trained_on):
    page = report(data=data, trained_on=trained_on, **BARE)
    banner = any(attrs.get("class") == "simulated" for _, attrs in page.tags)
    assert banner == ("SIMULATED" in (data, trained_on))
    assert ("SIMULATED" in page.text) == banner


def test_table_holds_sklearns_figures(report):
    ids = ("id_00", "id_02", "id_04")
    clips = make_clips(ids)
    rows = report(clips=clips, **BARE).tables["metrics"]
    assert rows[0] == ["Rule", "Average", *ids]
    assert rows[1] == ["", *["AUC", "pAUC"] * 4]
    assert [row[0] for row in rows[2:]] == ["std", "mean", "max"]  # the headline rule comes first
    for rule, *cells in rows[2:]:
        expected = []
        for machine_id in ids:
            own = [clip for clip in clips if clip.machine_id == machine_id]
            labels, scores = [clip.label for clip in own], [clip.scores[rule] for clip in own]
            expected.append(
                [100 * roc_auc_score(labels, scores, max_fpr=max_fpr) for max_fpr in (None, 0.1)]
            )
        expected.insert(0, np.mean(expected, axis=0))
        np.testing.assert_allclose(np.array(cells, float), np.ravel(expected), atol=0.0501)


def test_verdict(report):
    scores = {"good": [0, 1, 2, 3], "weak": [0, 2, 1, 3]}  # AUC 1 and 3/4
    clips = [
        make_clip("x", machine_id, label, std=float(score))
        for machine_id, values in scores.items()
        for label, score in zip([0, 0, 1, 1], values, strict=True)
    ]
    text = report(clips=clips, **BARE).text
    assert "AUC 87.5 %" in text
    assert "over 2 machine IDs" in text
    assert "Lowest AUC: 75.0 % on weak" in text


def test_pictures_in_order(report):
    examples = [make_example("a.wav", 0), make_example("b.wav", None)]
    assert report(examples=examples).pictures == [
        "why a.wav has its score",
        "why b.wav has its score",
        "scores of id_00",
        "scores of id_02",
        "ROC curves",
        "calibration",
        "AUC over severity",
        "training curve",
    ]


def test_what_to_expect_without_labels(report):
    """No rule that is better on stand-ins stands out above what it has on the test clips."""
    facts = {"clips": {"validation": 24}}
    page = report(proxy_auc={"mean": 0.8, "std": 0.731, "max": 0.7}, facts=facts, **BARE)
    mean = page.tables["metrics"][2][1]
    assert f"On stand-ins, AUC 73.1 % by “std”; on the test clips, {mean} %." in page.text
    assert "It rests on 24 held-out clips." in page.text
    assert "80.0 % by" not in page.text
    assert page.tables["outlook"] == [
        ["Rule", "stand-ins", "test clips"],
        ["std", "73.1", mean],
        ["mean", "80.0", page.tables["metrics"][3][1]],
        ["max", "70.0", page.tables["metrics"][4][1]],
    ]
    assert "No anomaly was looked at" in page.text
    page = report(proxy_auc={}, curves={}, **BARE)
    assert "Without labels" not in page.text
    assert "AUC over severity" not in page.pictures


def test_an_assessment_that_lacks_the_rule_is_left_out(report):
    """It was made before the rule was added."""
    page = report(proxy_auc={"mean": 0.6}, **BARE)
    assert "Without labels" not in page.text
    assert "AUC over severity" not in page.pictures


def test_what_the_mean_is_over(report):
    curves = {"hiss": {0.2: 0.5}, "blend": {0.2: 0.4}}
    others = BARE | {"clips": []}
    assert "mean over “blend”" in report(curves=curves, **others).text
    assert "mean over the faults" in report(curves={"hiss": {0.2: 0.5}}, **others).text


@pytest.mark.parametrize(
    ("labels", "reason"),
    [((None,), "The clips have no labels"), ((0,), "No anomalous clips were at hand")],
)
def test_without_anomalies(report, labels, reason):
    clips = make_clips(labels=labels)
    page = report(clips=clips, **BARE)
    assert f"{reason}, so there is no AUC" in page.text
    assert "metrics" not in page.tables
    assert "ROC curves" not in page.pictures
    row = next(row for row in page.tables["quantiles"] if row[0] == "id_02")
    scores = [clip.scores["std"] for clip in clips if clip.machine_id == "id_02"]
    expected = [len(scores), *np.percentile(scores, [0, 5, 25, 50, 75, 95, 100])]
    np.testing.assert_allclose(np.array(row[1:], float), expected, rtol=1e-3)


def test_ids_of_one_class(report):
    clips = make_clips(("id_00",)) + make_clips(("id_04",), (0,)) + make_clips(("id_06",), (1,))
    page = report(clips=clips, **BARE)
    assert page.tables["metrics"][0] == ["Rule", "id_00"]
    assert "Without normal or without anomalous clips: id_04, id_06." in page.text
    assert "scores of id_06" in page.pictures
    page = report(clips=clips[-24:], **BARE)
    assert "No machine ID has both normal and anomalous clips" in page.text


def test_a_rule_that_tells_nothing_apart_is_blank(report):
    """Such as `relative` with one ID, or `std` where a clip is one frame."""
    clips = make_clips()
    some = [dataclasses.replace(c, scores=c.scores | {"mean": 3.0}) for c in clips]
    page = report(clips=some, **BARE)
    assert page.tables["metrics"][3] == ["mean", *[""] * 6]
    assert "the same score: “mean”" in page.text
    assert page.tables["outlook"][2] == ["mean", "", ""]
    same = [dataclasses.replace(c, scores={"std": 3.0}) for c in clips]
    page = report(clips=same, **BARE)
    assert page.tables["metrics"][2:] == [["std", *[""] * 6]]
    assert "“std” gives every clip the same score" in page.text
    assert "ROC curves" not in page.pictures


def test_every_clip_is_in_the_table_with_what_was_decided(report):
    clips = [
        *make_clips(labels=(0, 1, None)),
        make_clip("odd.wav", "id_00", 0, mean=0.0, std=99.0, max=0.0),
    ]
    heading, *rows = report(clips=clips, columns={}, **BARE).tables["clips"]
    assert heading == ["File", "Machine ID", "Label", "Score", "p-value", "Outcome"]
    assert len(rows) == len(clips)
    by_name = {row[0]: row[1:] for row in rows}
    said = {0: ("quiet, rightly", "false alarm"), 1: ("missed", "found"), None: ("quiet", "alarm")}
    for clip in clips:
        machine_id, label, score, p_value, outcome = by_name[clip.name]
        expected = (1 + (clip.scores["std"] <= NORMAL).sum()) / (1 + len(NORMAL))
        assert machine_id == clip.machine_id
        assert label == {0: "normal", 1: "anomalous", None: "unlabelled"}[clip.label]
        assert float(score) == pytest.approx(clip.scores["std"], rel=1e-5)
        assert float(p_value) == pytest.approx(expected, rel=1e-3)
        assert outcome == said[clip.label][int(expected <= ALPHA)]
    assert [float(row[4]) for row in rows] == sorted(float(row[4]) for row in rows)
    assert rows[0][0] == "odd.wav"


def test_the_threshold_and_the_counts_at_it(report):
    """Of 19 normal clips one may score as high where a tenth may raise a false alarm."""
    clips = make_clips()
    page = report(clips=clips, **BARE)
    above = np.sort(NORMAL)[-2]
    for row in page.tables["alarms"][1:]:
        machine_id, threshold, *counts, among = row
        assert float(threshold) == pytest.approx(above, rel=1e-3)
        for label, text in enumerate(counts):
            own = [c for c in clips if (c.machine_id, c.label) == (machine_id, label)]
            alarms = sum(clip.scores["std"] > above for clip in own)
            assert text.startswith(f"{alarms} of 12 (")
        assert among == "19 held out"
    alarms = [sum(c.scores["std"] > above for c in clips if c.label == label) for label in (0, 1)]
    words = f"{alarms[0]} of 24 normal clips and {alarms[1]} of 24 anomalous clips raise an alarm"
    assert words in page.text


def test_a_threshold_that_no_score_reaches(report):
    page = report(thresholds={}, **BARE)
    assert [row[1] for row in page.tables["alarms"][1:]] == ["none", "none"]
    assert "Threshold none." in page.text


def test_an_example_that_cannot_be_explained(report):
    page = report(examples=[make_example(explained=False)])
    assert "no reference.npz" in page.text
    assert "audio" in {tag for tag, _ in page.tags}


def test_silence_and_a_single_frame(report):
    silent = make_example("s", spectra=np.full((50, 16), -100.0), map=np.zeros((50, 16)))
    short = make_explanation(frames=1)
    assert len(report(examples=[silent]).pictures) == 7
    single = dataclasses.replace(silent, explanation=short)
    assert len(report(examples=[silent, single]).pictures) == 8


def test_next_to_nothing(report):
    page = report(clips=[], examples=[], history=[], facts={}, proxy_auc={}, curves={})
    assert page.pictures == []
    assert "0 clips of 0 machine IDs scored" in page.text


def test_history_with_gaps(report):
    nan = float("nan")
    history = [{"step": 0, "train_nll": nan}, {"step": 5, "train_nll": 1.0}]
    assert "training curve" in report(history=history).pictures
    assert "training curve" not in report(history=history[:1]).pictures


def test_title_and_facts(report):
    facts = {
        "seed": 7,
        "versions": {"jax": "0.10.2", "deep": {"er": True}},
        "seconds": 12.3456789,
        "ids": ["id_00", "id_02"],
        "missing": None,
        "undefined": [float("nan")],
        "metrics": {"std": {}},  # they have a table of their own
    }
    page = report(facts=facts, proxy_auc={}, **BARE)
    assert page.tables["facts"] == [
        ["machine_type", "slider"],
        ["data", "real"],
        ["trained_on", "real"],
        ["rule", "std"],
        ["seed", "7"],
        ["versions.jax", "0.10.2"],
        ["versions.deep.er", "True"],
        ["seconds", "12.3457"],
        ["ids", "id_00, id_02"],
        ["missing", "–"],
        ["undefined", "–"],
    ]
    assert (
        page.text.count("slider: 48 clips of 2 machine IDs, run “mine”") == 2
    )  # of the window and of the page


def test_same_run_same_report(report):
    assert report().html == report().html


@pytest.mark.parametrize("broken", ["score", "p-value", "spectra", "curve", "sound"])
def test_not_finite_is_refused_and_the_old_report_stays(report, tmp_path, broken):
    before = report(**BARE).html
    example, clips = make_example("broken.wav"), make_clips()
    if broken in ("score", "p-value"):
        nan = {"scores": {"std": float("nan")}} if broken == "score" else {"p_value": float("nan")}
        clips[3] = dataclasses.replace(clips[3], name="broken.wav", **nan)
    elif broken == "sound":
        example.samples[2] = np.nan
    else:
        assert example.explanation is not None
        getattr(example.explanation, broken)[2] = -np.inf
    with pytest.raises(ValueError, match=r"broken\.wav.*not finite"):
        report(clips=clips, columns={}, examples=[example])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
