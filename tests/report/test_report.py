"""The report as a reader, a browser and a hostile file name meet it."""

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flowasd.evaluation.evaluate import Example, ScoredClip
from tests.report.evaluations import make_clips, make_example

pytestmark = pytest.mark.slow

BARE = {"history": [], "examples": []}  # what tests of the rest need not wait for
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_reaches_for_nothing_outside(report):
    page = report()
    for tag, attrs in page.tags:
        assert tag not in ("script", "link", "iframe", "base", "object", "embed", "form")
        for key, value in attrs.items():
            assert not key.startswith("on"), (tag, attrs)
            if key in ("src", "srcset", "href", "xlink:href", "action", "data", "poster"):
                assert re.match(r"#|data:|$", value), (tag, attrs)
    assert not re.search(r"url\((?!#)|@import", page.html)
    # No address at all, but for the names of what the pictures are written in.
    assert set(re.findall(r"[a-z]+://[^\s\"'<>]+", page.html)) == NAMESPACES
    assert not re.search(r"[\"'(=]//", page.html)
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


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
    assert rows[0] == ["Rule", *ids, "Average"]
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
        expected.append(np.mean(expected, axis=0))
        np.testing.assert_allclose(np.array(cells, float), np.ravel(expected), atol=0.0501)


def test_verdict(report):
    scores = {"good": [0, 1, 2, 3], "weak": [0, 2, 1, 3]}  # AUC 1 and 3/4
    clips = [
        ScoredClip("x", machine_id, label, {"std": float(score)})
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
        "training curve",
        "AUC over severity",
        "scores of id_00",
        "scores of id_02",
        "ROC curves",
        "bands and frame NLL of a.wav",
        "bands and frame NLL of b.wav",
    ]


def test_what_to_expect_without_labels(report):
    text = report(proxy_auc={"std": 0.731, "mean": 0.6, "max": 0.7}, **BARE).text
    assert "On stand-ins, AUC 73.1 % by “std”." in text
    text = report(proxy_auc={"std": 0.731, "mean": 0.6, "max": 0.8}, **BARE).text
    assert "On stand-ins, AUC 73.1 % by “std”; the most, 80.0 %, by “max”." in text
    assert "No anomaly was looked at" in text
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


@pytest.mark.parametrize("labels", [(None,), (0,)])
def test_without_anomalies(report, labels):
    clips = make_clips(labels=labels)
    page = report(clips=clips, **BARE)
    assert "No anomalous clips were at hand" in page.text
    assert "metrics" not in page.tables
    assert "ROC curves" not in page.pictures
    row = next(row for row in page.tables[""] if row[0] == "id_02")
    scores = [clip.scores["std"] for clip in clips if clip.machine_id == "id_02"]
    expected = [len(scores), *np.percentile(scores, [0, 5, 25, 50, 75, 95, 100])]
    np.testing.assert_allclose(np.array(row[1:], float), expected, rtol=1e-3)


def test_ids_of_one_class(report):
    clips = make_clips(("id_00",)) + make_clips(("id_04",), (0,)) + make_clips(("id_06",), (1,))
    page = report(clips=clips, **BARE)
    assert page.tables["metrics"][0] == ["Rule", "id_00", "Average"]
    assert "Without normal or without anomalous clips: id_04, id_06." in page.text
    assert "scores of id_06" in page.pictures
    page = report(clips=clips[-24:], **BARE)
    assert "No machine ID has both normal and anomalous clips" in page.text


def test_constant_scores_are_chance(report):
    same = [dataclasses.replace(c, scores={"std": 3.0}) for c in make_clips()]
    assert report(clips=same, **BARE).tables["metrics"][2:] == [["std", *["50.0"] * 6]]


def test_silence_and_a_single_frame(report):
    silent = Example("s", "id_00", 0, 0.0, np.full((40, 8), -100.0), np.zeros(40))
    short = Example("t", "id_00", 0, 0.0, np.full((1, 8), -100.0), np.zeros(1))
    assert len(report(examples=[silent]).pictures) == 6
    assert len(report(examples=[silent, short]).pictures) == 7


def test_next_to_nothing(report):
    page = report(clips=[], examples=[], history=[], facts={}, proxy_auc={}, curves={})
    assert page.pictures == []
    assert "0 clips of 0 machine IDs scored" in page.text


def test_history_with_gaps(report):
    nan = float("nan")
    history = [{"step": 0, "train_nll": nan}, {"step": 5, "train_nll": 1.0}]
    assert "training curve" in report(history=history).pictures
    assert "training curve" not in report(history=history[:1]).pictures


HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/>&amp;$x$.wav"


def assert_not_obeyed(page):
    """The name is text, in the pictures too, which are XML of their own."""
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    for attrs in (attrs for _, attrs in page.tags):
        assert not any(key.startswith(("on", "src")) for key in attrs)
    for svg in re.findall(r"<svg.*?</svg>", page.html, re.DOTALL):
        ElementTree.fromstring(svg)


def test_hostile_names_are_shown_not_obeyed(report):
    clips = [dataclasses.replace(clip, machine_id=HOSTILE) for clip in make_clips(("id_00",))]
    odd = clips + make_clips(("_hidden",))
    page = report(
        title=HOSTILE,
        clips=odd,
        examples=[make_example(HOSTILE)],
        facts={HOSTILE: {"$": [HOSTILE]}},
    )
    assert page.text.count(HOSTILE) >= 7  # title twice, table, histogram, ROC, example, facts
    assert_not_obeyed(page)
    assert "_hidden: AUC" in page.text
    assert f"scores of {HOSTILE}" in page.pictures
    assert f"bands and frame NLL of {HOSTILE}" in page.pictures


@pytest.mark.parametrize(
    "changes",
    [
        {"title": HOSTILE},
        {"workdir": Path("runs", HOSTILE.replace("/", "∕"))},
        {"clips": [dataclasses.replace(c, machine_id=HOSTILE) for c in make_clips(("a",))]},
        {"clips": [dataclasses.replace(c, machine_id=HOSTILE) for c in make_clips(("a",), (0,))]},
        {
            "clips": make_clips(("a",))
            + [dataclasses.replace(c, machine_id=HOSTILE) for c in make_clips(("a",), (0,))]
        },
        {"examples": [make_example(HOSTILE)]},
        {"examples": [dataclasses.replace(make_example("a"), machine_id=HOSTILE)]},
        {"curves": {HOSTILE: {0.2: 0.5, 1.0: 0.75}}},
        {"proxy_auc": {"std": 0.5, HOSTILE: 0.75}},
        {"facts": {"device": HOSTILE}},
        {"facts": {HOSTILE: 1}},
        {"facts": {"versions": {HOSTILE: "1", "x": [HOSTILE, HOSTILE]}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_value_is_escaped_wherever_it_stands(report, changes):
    page = report(**BARE | changes)
    shown = page.text.replace("∕", "/")
    assert HOSTILE in shown
    assert_not_obeyed(page)


def test_hostile_rules_are_shown_not_obeyed(report):
    clips = [dataclasses.replace(c, scores={"std": 0.0, HOSTILE: 1.0}) for c in make_clips()]
    page = report(clips=clips, **BARE)
    assert page.tables["metrics"][3][0] == HOSTILE
    assert_not_obeyed(page)


def test_names_that_are_not_unicode(report):
    assert "b?.wav" in report(examples=[make_example("b\udcff.wav")]).text


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
    assert page.text.count("slider: mine") == 2  # of the window and of the page


def test_same_run_same_report(report):
    assert report().html == report().html


@pytest.mark.parametrize("broken", ["score", "bands", "frame NLL"])
def test_not_finite_is_refused_and_the_old_report_stays(report, tmp_path, broken):
    before = report(**BARE).html
    example, clips = make_example("broken.wav"), make_clips()
    if broken == "score":
        clips[3] = dataclasses.replace(clips[3], name="broken.wav", scores={"std": float("nan")})
    elif broken == "bands":
        example.bands[2, 3] = -np.inf
    else:
        example.frame_nll[1] = np.nan
    with pytest.raises(ValueError, match=r"broken\.wav.*not finite"):
        report(clips=clips, columns={}, examples=[example])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
