"""The report as a reader, a browser and a hostile file name meet it."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from flowasd.evaluation import metrics
from flowasd.evaluation.evaluate import Example, ScoredClip
from flowasd.report.report import write_report

VOID = {"meta", "col"}  # the elements without an end tag that the page uses


class Page(HTMLParser):
    """A parsed report: its tags with their attributes, its text, and its tables by class."""

    def __init__(self, html):
        super().__init__()
        self.html, self.text = html, ""
        self.tags, self.open, self.tables = [], [], {}
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault(dict(attrs)["class"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data

    @property
    def pictures(self):
        return [attrs["aria-label"] for tag, attrs in self.tags if tag == "svg"]


def make_clips(ids=("id_00", "id_02"), labels=(0, 1), each=12, seed=0):
    rng = np.random.default_rng(seed)
    return [
        ScoredClip(
            f"{machine_id}_{label}_{i}.wav",
            machine_id,
            label,
            {rule: float(rng.normal() + (label or 0)) for rule in ("mean", "std", "max")},
        )
        for machine_id in ids
        for label in labels
        for i in range(each)
    ]


def make_columns(clips):
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    columns = {
        rule: metrics.per_machine(ids, labels, np.array([clip.scores[rule] for clip in clips]))
        for rule in (clips[0].scores if clips else ())
    }
    return {rule: rows for rule, rows in columns.items() if rows}


def make_example(name="clip.wav", label: int | None = 1, frames=50, mels=16):
    rng = np.random.default_rng(0)
    log_mel = rng.normal(-40, 5, (frames, mels)).astype(np.float32)
    return Example(name, "id_00", label, 1.5, log_mel, rng.normal(size=frames).astype(np.float32))


@pytest.fixture
def report(tmp_path):
    """Writes a report, defaults overridden by keywords, and returns the parsed page."""

    def write(**overrides):
        arguments = {
            "title": "Slide rail",
            "simulated": False,
            "rule": "std",
            "summary": {"seed": 1},
            "history": [
                {"step": 0, "train_nll": 2.0},
                {"step": 10, "train_nll": 1.0, "validation_nll": 1.25},
                {"step": 20, "train_nll": 0.5, "validation_nll": 0.75},
                {"step": 30, "train_nll": 0.25, "validation_nll": 1.5},
            ],
            "proxy_auc": {"std": 0.7, "mean": 0.6, "max": 0.5},
            "stand_ins": {"hiss": np.array([[0.2, 1.0], [0.5, 0.9]])},
            "clips": make_clips(),
            "examples": [make_example("a.wav")],
            "hop_seconds": 0.032,
        }
        arguments |= overrides
        if "columns" not in arguments:
            arguments["columns"] = make_columns(arguments["clips"])
        write_report(tmp_path / "report.html", **arguments)
        html = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert len(html) < 2e6
        words = re.sub(r"base64,[^\"]*", "", html)
        assert not re.search(r"\b(nan|inf)\b", words, re.IGNORECASE)
        return Page(html)

    return write


def test_reaches_for_nothing_outside(report):
    page = report()
    for tag, attrs in page.tags:
        assert tag not in ("script", "link", "iframe", "base")
        for key in ("src", "href", "xlink:href", "action", "data"):
            assert re.match(r"#|data:|$", attrs.get(key, "")), (tag, attrs)
    assert not re.search(r"url\((?!#)|@import", page.html)
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("simulated", [True, False])
def test_says_simulated_if_and_only_if(report, simulated):
    assert ("SIMULATED" in report(simulated=simulated).text) == simulated


def test_table_holds_sklearns_figures(report):
    ids = ("id_00", "id_02", "id_04")
    clips = make_clips(ids)
    rows = report(clips=clips).tables["metrics"]
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
    text = report(clips=clips).text
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
        "log-mel and frame NLL of a.wav",
        "log-mel and frame NLL of b.wav",
    ]


def test_marks_the_best_validation_step(report):
    assert "best: 0.75, step 20" in report().text


def test_what_to_expect_without_labels(report):
    text = report(proxy_auc={"std": 0.731, "mean": 0.6, "max": 0.7}).text
    assert "On stand-ins, AUC 73.1 % by “std”." in text
    text = report(proxy_auc={"std": 0.731, "mean": 0.6, "max": 0.8}).text
    assert "On stand-ins, AUC 73.1 % by “std”; the most, 80.0 %, by “max”." in text
    assert "No anomaly was looked at" in text
    page = report(proxy_auc={}, stand_ins={})
    assert "Without labels" not in page.text
    assert "AUC over severity" not in page.pictures


def test_curves_over_severity_run_through_the_points(report):
    severity, aucs = [0.2, 0.4, 1.0], {"hiss": [0.5, 0.6, 0.9], "blend": [0.4, 1.0, 0.8]}
    html = report(stand_ins={name: np.array([severity, auc]) for name, auc in aucs.items()}).html
    assert "mean over “blend”" in html
    assert "mean over the faults" in report(stand_ins={"hiss": np.ones((2, 3))}).html
    picture = next(s for s in re.findall(r"<svg.*?</svg>", html, re.DOTALL) if "severity" in s)
    assert [picture.count(f">{name}<") for name in aucs] == [1, 1]
    svg = ElementTree.fromstring(picture)
    drawn = [
        np.array(re.findall(r"[-\d.]+", path.attrib["d"]), float).reshape(-1, 2)
        for path in svg.iter("{http://www.w3.org/2000/svg}path")
        if "clip-path" in path.attrib
    ]
    # Both axes are linear: what is drawn is a multiple of the figures, and an offset, for all.
    x, y = np.concatenate(drawn[1:]).T
    right, _ = np.polyfit(severity * 2, x, 1)
    down, zero = np.polyfit(np.concatenate(list(aucs.values())), y, 1)
    assert right > 0 > down  # y grows downwards
    np.testing.assert_allclose(np.diff(x[:3]), right * np.array([0.2, 0.6]), atol=0.01)
    np.testing.assert_allclose(y[:3], zero + down * np.array(aucs["hiss"]), atol=0.01)
    np.testing.assert_allclose(y[3:], zero + down * np.array(aucs["blend"]), atol=0.01)
    np.testing.assert_allclose(drawn[0][:, 1], zero + down * 0.5, atol=0.01)  # chance


def test_histogram_counts_the_classes(report):
    text = report(clips=make_clips(("id_00",), labels=(0, 1, None), each=7)).text
    for name in ("normal", "anomalous", "unlabelled"):
        assert f"{name} (7)" in text


@pytest.mark.parametrize("labels", [(None,), (0,)])
def test_without_anomalies(report, labels):
    clips = make_clips(labels=labels)
    page = report(clips=clips)
    assert "No anomalous clips were at hand" in page.text
    assert "metrics" not in page.tables
    assert "ROC curves" not in page.pictures
    row = next(row for row in page.tables[""] if row[0] == "id_02")
    scores = [clip.scores["std"] for clip in clips if clip.machine_id == "id_02"]
    expected = [len(scores), *np.percentile(scores, [0, 5, 25, 50, 75, 95, 100])]
    np.testing.assert_allclose(np.array(row[1:], float), expected, rtol=1e-3)


def test_ids_of_one_class(report):
    clips = make_clips(("id_00",)) + make_clips(("id_04",), (0,)) + make_clips(("id_06",), (1,))
    page = report(clips=clips)
    assert page.tables["metrics"][0] == ["Rule", "id_00", "Average"]
    assert "Without normal or without anomalous clips: id_04, id_06." in page.text
    assert "scores of id_06" in page.pictures
    page = report(clips=clips[-24:])
    assert "No machine ID has both normal and anomalous clips" in page.text


def test_constant_scores_are_chance(report):
    same = [dataclasses.replace(c, scores={"std": 3.0}) for c in make_clips()]
    assert report(clips=same).tables["metrics"][2:] == [["std", *["50.0"] * 6]]


def test_silence_and_a_single_frame(report):
    silent = Example("s", "id_00", 0, 0.0, np.full((40, 8), -100.0), np.zeros(40))
    short = Example("t", "id_00", 0, 0.0, np.full((1, 8), -100.0), np.zeros(1))
    assert len(report(examples=[silent]).pictures) == 6
    assert len(report(examples=[silent, short]).pictures) == 7


def test_next_to_nothing(report):
    page = report(clips=[], examples=[], history=[], summary={}, proxy_auc={}, stand_ins={})
    assert page.pictures == []
    assert "0 clips of 0 machine IDs scored" in page.text


def test_history_with_gaps(report):
    nan = float("nan")
    history = [{"step": 0, "train_nll": nan}, {"step": 5, "train_nll": 1.0}]
    assert "training curve" in report(history=history).pictures
    assert "training curve" not in report(history=history[:1]).pictures


def test_hostile_names_are_shown_not_obeyed(report):
    name = "<script>alert('x')</script>\"><img src=http://evil.example/>&amp;$x$.wav"
    clips = [dataclasses.replace(clip, machine_id=name) for clip in make_clips(("id_00",))]
    odd = clips + make_clips(("_hidden",))
    page = report(
        title=name, clips=odd, examples=[make_example(name)], summary={name: {"$": [name]}}
    )
    assert page.text.count(name) >= 7  # title twice, table, histogram, ROC, example, facts
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert "_hidden: AUC" in page.text


def test_names_that_are_not_unicode(report):
    assert "b?.wav" in report(examples=[make_example("b\udcff.wav")]).text


def test_facts(report):
    summary = {
        "seed": 7,
        "versions": {"jax": "0.10.2", "deep": {"er": True}},
        "seconds": 12.3456789,
        "ids": ["id_00", "id_02"],
        "missing": None,
        "undefined": [float("nan")],
    }
    assert report(summary=summary).tables["facts"] == [
        ["seed", "7"],
        ["versions.jax", "0.10.2"],
        ["versions.deep.er", "True"],
        ["seconds", "12.3457"],
        ["ids", "id_00, id_02"],
        ["missing", "–"],
        ["undefined", "–"],
    ]


def test_example_picture_is_upright_and_aligned(report):
    # One loud patch, late and in the upper bands, where the frame NLL has its only peak.
    log_mel, frame_nll = np.full((100, 16), -80.0), np.zeros(100)
    log_mel[70:80, 12:], frame_nll[75] = 0.0, 5.0
    html = report(examples=[Example("x", "id_00", 1, 0.0, log_mel, frame_nll)]).html
    svg = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", html, re.DOTALL)[-1])
    name = "{http://www.w3.org/2000/svg}"
    image = next(svg.iter(f"{name}image"))
    data = image.attrib["{http://www.w3.org/1999/xlink}href"].partition("base64,")[2]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)
    if "scale(1 -1)" in image.attrib["transform"]:
        pixels = pixels[::-1]
    height, width = pixels.shape
    rows, columns = np.nonzero(pixels > 128)
    np.testing.assert_allclose(rows.mean() / height, 0.125, atol=0.02)
    np.testing.assert_allclose(columns.mean() / width, 0.75, atol=0.02)

    curves = [p.attrib["d"] for p in svg.iter(f"{name}path") if "#e8643c" in p.get("style", "")]
    points = np.array(re.findall(r"[-\d.]+", curves[0]), float).reshape(-1, 2)
    left, extent = float(image.attrib["x"]), float(image.attrib["width"])
    peak = points[points[:, 1].argmin(), 0]
    np.testing.assert_allclose((peak - left) / extent, 0.755, atol=0.005)


def test_same_run_same_report(report):
    assert report().html == report().html


@pytest.mark.parametrize("broken", ["score", "log-mel", "frame NLL"])
def test_not_finite_is_refused_and_the_old_report_stays(report, tmp_path, broken):
    before = report().html
    example, clips = make_example("broken.wav"), make_clips()
    if broken == "score":
        clips[3] = dataclasses.replace(clips[3], name="broken.wav", scores={"std": float("nan")})
    elif broken == "log-mel":
        example.log_mel[2, 3] = -np.inf
    else:
        example.frame_nll[1] = np.nan
    with pytest.raises(ValueError, match=r"broken\.wav.*not finite"):
        report(clips=clips, columns={}, examples=[example])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
