"""The report's pictures, read back: the points that are drawn, in the units of their axes."""

import base64
import io
import itertools

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_curve

from flowasd.evaluation.samples import Spectra
from flowasd.report.score_plots import bins, histogram
from tests.report.evaluations import ALPHA, HISTORY, NORMAL, make_clips, make_example
from tests.report.page import SVG, XLINK, Picture

BLUE, ORANGE, GREY, INK = "#3b8bd0", "#e8643c", "#8a8f98", "currentColor"


def close(drawn, expected, **tolerance):
    np.testing.assert_allclose(drawn, expected, **{"atol": 1e-3, **tolerance})


def test_the_training_curve_runs_through_the_logged_steps(report):
    picture = report().picture("training curve")
    train, validation = (
        [(row["step"], row[key]) for row in HISTORY if key in row]
        for key in ("train_nll", "validation_nll")
    )
    (drawn, colour), (validated, validated_colour) = picture.curves
    close(drawn, train)
    close(validated, validation)
    assert (colour, validated_colour) == (GREY, BLUE)
    (marked, marked_colour), (best, best_colour) = picture.markers
    close(marked, validation)
    close(best, [(20, 0.75)])
    assert (marked_colour, best_colour) == (BLUE, ORANGE)
    for label in ("step", "NLL, nats per dimension", "training", "validation"):
        assert picture.labels.count(label) == 1
    assert "lowest: 0.75, step 20" in picture.labels


def test_a_training_without_validation_has_one_curve(report):
    history = [{"step": 5, "train_nll": 2.0}, {"step": 10, "train_nll": 1.5}]
    picture = report(history=history).picture("training curve")
    ((drawn, _),) = picture.curves
    close(drawn, [(5, 2.0), (10, 1.5)])
    assert picture.markers == []
    assert "validation" not in picture.labels


def test_curves_over_severity_run_through_the_points(report):
    curves = {
        "hiss": {0.2: 0.5, 0.4: 0.6, 1.0: 0.9},
        "blend": {0.4: 1.0, 1.0: 0.8, 0.2: 0.4},  # drawn by severity, not by the file's order
    }
    picture = report(curves=curves).picture("AUC over severity")
    (chance, colour), *drawn = picture.curves
    close(chance[:, 1], 50)
    assert colour == INK
    assert len(drawn) == len(picture.markers) == len(curves)
    for (points, colour), (marked, marked_colour), by_severity in zip(
        drawn, picture.markers, curves.values(), strict=True
    ):
        expected = [(severity, 100 * auc) for severity, auc in sorted(by_severity.items())]
        close(points, expected, atol=0.02)
        close(marked, expected, atol=0.02)
        assert colour == marked_colour
    assert drawn[0][1] != drawn[1][1]
    for label in ("severity", "AUC, %", *curves):
        assert picture.labels.count(label) == 1


def test_histogram_bars_are_the_shares_of_every_class(report):
    clips = make_clips(("id_00",), labels=(0, 1, None), each=7)
    picture = report(clips=clips).picture("scores of id_00")
    scores = {
        label: [clip.scores["std"] for clip in clips if clip.label == label]
        for label in (0, 1, None)
    }
    every = np.concatenate([*scores.values()])
    edges = np.linspace(every.min(), every.max(), 31)
    for label, colour in ((0, BLUE), (1, ORANGE), (None, GREY)):
        (outline,) = [corners for corners, own in picture.areas if own == colour]
        expected, _ = np.histogram(scores[label], edges)
        for low, high, count in zip(edges[:-1], edges[1:], expected, strict=True):
            for x in (low + 0.02, (low + high) / 2, high - 0.02):  # from edge to edge
                close(height(outline, x), 100 * count / 7, atol=0.05)
    for name in ("normal", "anomalous", "unlabelled"):
        assert f"{name} (7)" in picture.labels
    assert {"score", "% of clips"} <= set(picture.labels)


def height(outline, x):
    """The upper side of a shape of right angles."""
    sides = itertools.pairwise(outline)
    return max(a[1] for a, b in sides if min(a[0], b[0]) < x < max(a[0], b[0]))


def test_a_histogram_shows_the_classes_that_are_there(report):
    picture = report(clips=make_clips(("id_00",), labels=(0,))).picture("scores of id_00")
    assert {colour for _, colour in picture.areas} == {BLUE}
    assert not any("anomalous" in label for label in picture.labels)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.geomspace(0.001, 100, 20), {"0.001", "0.1", "10"}),
        ([-1e4, *np.linspace(-1, 1, 20), 1e4], {"-1000", "0", "1000"}),
    ],
)
def test_an_axis_over_decades_has_numbers(scores, labels):
    picture = Picture(histogram({0: list(scores)}, "scores"))
    assert labels <= set(picture.labels)
    assert not any("$" in label for label in picture.labels)


def test_roc_curves_are_scikit_learns(report):
    clips = make_clips(("id_00", "id_02"))
    page = report(clips=clips)
    picture = page.picture("ROC curves")
    (chance, colour), *drawn = picture.curves
    close(chance, [(0, 0), (1, 1)])
    assert colour == INK
    drawn = drawn[::3]  # the two arms of a cross follow each of them
    assert len(drawn) == 2
    for (points, _), machine_id, auc in zip(
        drawn, ("id_00", "id_02"), page.tables["metrics"][2][3::2], strict=False
    ):
        own = [clip for clip in clips if clip.machine_id == machine_id]
        fpr, tpr, _ = roc_curve([clip.label for clip in own], [clip.scores["std"] for clip in own])
        close(points, np.stack([fpr, tpr], 1))
        assert any(label.startswith(f"{machine_id}: AUC {auc} (") for label in picture.labels)
    ((shaded, _),) = picture.areas  # where pAUC is measured
    close([shaded[:, 0].min(), shaded[:, 0].max()], [0, 0.1])
    assert {"false-positive rate", "true-positive rate"} <= set(picture.labels)


def test_the_threshold_is_drawn_in_the_histogram(report):
    picture = report(clips=make_clips(("id_00",))).picture("scores of id_00")
    ((line, colour),) = picture.curves
    close(line[:, 0], np.sort(NORMAL)[-2], atol=0.01)
    assert colour == INK
    assert "alarm →" in picture.labels
    picture = report(clips=make_clips(("id_00",)), thresholds={}).picture("scores of id_00")
    assert picture.curves == []


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 2.0, 50.0], "linear"),
        ([1e-3, 1.0, 50.0], "log"),
        ([*np.linspace(-1, 1, 50), 1e4], "asinh"),
    ],
)
def test_an_axis_is_logarithmic_where_scores_span_decades(values, scale):
    found, edges = bins(np.array(values))
    assert found["value"] == scale
    assert (np.diff(edges) > 0).all()
    close([edges[0], edges[-1]], [min(values), max(values)], rtol=1e-6)


def test_the_dot_on_a_roc_curve_is_where_the_alarms_are(report):
    clips = make_clips(("id_00",))
    picture = report(clips=clips).picture("ROC curves")
    ((dot, _),) = picture.markers
    rates = [np.mean([c.p_value <= ALPHA for c in clips if c.label == label]) for label in (0, 1)]
    close(dot, [rates], atol=0.01)
    _, _, across, up = [points for points, _ in picture.curves]
    for (low, high), rate in ((across[:, 0], rates[0]), (up[:, 1], rates[1])):
        assert low - 0.01 <= rate <= high + 0.01
        assert high - low > 0.2  # of twelve clips


def test_calibration_is_the_rate_of_alarms_at_every_rate(report):
    clips = make_clips()
    picture = report(clips=clips).picture("calibration")
    (drawn,) = [points for points, colour in picture.curves if colour == BLUE]
    p_values = np.array([clip.p_value for clip in clips if clip.label == 0])
    for asked in (0.12, 0.33, 0.77):
        found = drawn[drawn[:, 0] <= asked][-1, 1]
        assert found == pytest.approx(np.mean(p_values <= asked), abs=0.01)


def test_samples_are_drawn_beside_real_frames(report):
    edges, real = np.linspace(0, 8000, 5), np.arange(12.0).reshape(3, 4)
    picture = report(spectra={"id_00": Spectra(edges, True, real, real + 1)}).picture(
        "sampled and real frames of id_00"
    )
    (median, colour), (sampled, other), *_ = picture.curves
    close(median, np.stack([[1, 3, 5, 7], real[1]], 1), atol=0.02)
    close(sampled[:, 1], real[1] + 1, atol=0.02)
    assert (colour, other) == (BLUE, INK)
    assert "frequency, kHz" in picture.labels


def test_the_curve_of_an_example_is_what_is_explained(report):
    """At the middle of every frame, in seconds; frequencies are in kilohertz."""
    example = make_example("a.wav", frames=20)
    picture = report(examples=[example]).picture("why a.wav has its score")
    assert example.explanation is not None
    (drawn,) = [points for points, own in picture.curves if own == BLUE]
    close(drawn[:, 0], example.explanation.frame_times, atol=0.01)
    # The ticks of the three parts are read as one axis, so that only the shape counts.
    assert abs(np.corrcoef(drawn[:, 1], example.explanation.curve)[0, 1]) > 0.9999
    assert {"time, s", "NLL", "frequency, kHz", "dB"} <= set(picture.labels)


@pytest.mark.parametrize(("rule", "lines"), [("max", 1), ("std", 0)])
def test_the_score_is_a_line_where_it_has_the_unit_of_the_curve(report, rule, lines):
    picture = report(examples=[make_example("a.wav", rule=rule)]).picture("why a.wav has its score")
    assert len([own for _, own in picture.curves if own == ORANGE]) == lines


def test_a_single_frame_has_no_curve(report):
    picture = report(examples=[make_example("a.wav", frames=1)]).picture("why a.wav has its score")
    assert "NLL" not in picture.labels


def test_example_picture_is_upright_and_aligned(report):
    # One loud patch, late and in the upper bands.
    spectra = np.full((100, 16), -80.0)
    spectra[70:80, 12:] = 0.0
    example = make_example("x", frames=100, spectra=spectra)
    picture = report(examples=[example]).picture("why x has its score")
    image = next(picture.root.iter(f"{SVG}image"))
    data = image.attrib[f"{XLINK}href"].partition("base64,")[2]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)
    if "scale(1 -1)" in image.attrib["transform"]:
        pixels = pixels[::-1]
    height, width = pixels.shape
    rows, columns = np.nonzero(pixels > 128)
    np.testing.assert_allclose(rows.mean() / height, 0.125, atol=0.02)
    np.testing.assert_allclose(columns.mean() / width, 0.75, atol=0.02)
