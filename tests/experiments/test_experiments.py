import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from experiments.ablations.variants import VARIANTS, variant
from experiments.assess.ranking import (
    Detector,
    rank_correlation,
    ranking_table,
    with_ceiling,
)
from experiments.slider_fewshot.bootstrap import interval, weighted_areas
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold, machine_ids
from experiments.slider_fewshot.pictures import (
    FPR,
    draw_distributions,
    draw_rocs,
    mean_roc,
    scores_of,
)
from experiments.slider_fewshot.tables import Figure, average_of_ids, by_fold, by_machine, spread
from flowasd.config import parse
from flowasd.files import write_csv

IDS = ("00", "02")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "slider"
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
    for machine in IDS:
        for i in range(10):
            (folder / "test" / f"normal_id_{machine}_{i:08d}.wav").touch()
        for i in range(3):
            (folder / "test" / f"anomaly_id_{machine}_{i:08d}.wav").touch()
            (folder / "train" / f"normal_id_{machine}_{i:08d}.wav").touch()
    return folder


def test_folds_part_the_normal_test_clips(data, tmp_path):
    tested = []
    for fold in range(FOLDS):
        out = lay_out_fold(data, fold, tmp_path / "folds") / "slider"
        assert lay_out_fold(data, fold, tmp_path / "folds") / "slider" == out
        test, train = ({path.name for path in (out / part).iterdir()} for part in ("test", "train"))
        normal = {name for name in test if name.startswith("normal")}
        assert {name for name in test - normal} == {p.name for p in data.glob("test/anomaly*")}
        for machine in IDS:
            every_fifth = {f"normal_id_{machine}_{i:08d}.wav" for i in (fold, fold + 5)}
            assert every_fifth == {name for name in normal if f"id_{machine}" in name}
        # The others are trained on under numbers that meet no training clip's.
        assert len(train) == len(IDS) * (3 + 8)
        moved = {path.resolve() for path in (out / "train").iterdir()}
        assert not moved & {path.resolve() for path in (out / "test").iterdir()}
        tested += sorted(normal)
    assert len(tested) == len(set(tested)) == 10 * len(IDS)


def test_a_fold_of_other_recordings_takes_the_place_of_the_old(data, tmp_path):
    other = shutil.copytree(data, tmp_path / "other")
    (other / "train" / "normal_id_00_00000000.wav").unlink()
    lay_out_fold(data, 0, tmp_path / "folds")
    out = lay_out_fold(other, 0, tmp_path / "folds")
    linked = {path.resolve() for path in out.glob("slider/*/*")}
    assert linked == {path.resolve() for path in other.glob("*/*")}


def figures():
    aucs = np.array([[0.8, 0.9], [0.6, 0.9]])  # a row a seed, a column a fold
    return [
        Figure("slider", fold, seed, "mean", "Average", float(aucs[seed, fold]), 0.5)
        for seed in range(2)
        for fold in range(2)
    ]


def test_spread_is_over_seeds_of_means_over_folds():
    # Seeds: 85 and 75, so 80, with a sample standard deviation of 10 / sqrt(2).
    assert spread(figures(), "auc") == "80.0 ± 7.1"
    assert spread(figures()[:2], "auc") == "85.0"


def rows_of(scores, rule="mean", machine_id="id_00"):
    """The scores of a run: the last one is that of an anomalous clip."""
    labels = [0] * (len(scores) - 1) + [1]
    return [
        {"path": f"{label}{i}", "machine_id": machine_id, "label": str(label), rule: str(score)}
        for i, (score, label) in enumerate(zip(scores, labels, strict=True))
    ]


def test_tables_have_a_column_an_id_and_a_fold():
    """No choice of clips changes a run that tells all of them apart."""
    apart = [rows_of([0.1, 0.2, 0.9])]
    assert by_machine(figures(), {"slider": apart}).splitlines() == [
        "| config | rule | Average | 95 % interval |",
        "| --- | --- | --- | --- |",
        "| slider | mean | 80.0 ± 7.1 / 50.0 ± 0.0 | 100.0–100.0 / 100.0–100.0 |",
    ]
    assert by_fold(figures()).splitlines()[2] == (
        "| slider | mean | 70.0 ± 14.1 / 50.0 ± 0.0 | 90.0 ± 0.0 / 50.0 ± 0.0 |"
    )


def test_average_of_ids_that_have_runs_of_their_own():
    of_ids = [
        Figure("slider", 0, 0, "mean", machine_id, auc, auc / 2)
        for machine_id, auc in (("id_00", 0.6), ("id_02", 0.8))
    ]
    (average,) = average_of_ids(of_ids)
    assert average[:5] == ("slider", 0, 0, "mean", "Average")
    assert average[5:] == pytest.approx((0.7, 0.35))


@pytest.mark.parametrize("digits", [0, 9])
def test_areas_of_clips_taken_several_times_are_scikit_learns(digits):
    """With ties between normal and anomalous clips, and without."""
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=40).round(digits), rng.normal(1, size=60).round(digits)
    taken = [rng.multinomial(n, np.full(n, 1 / n), 5).astype(float) for n in (40, 60)]
    auc, pauc = weighted_areas(normal, anomalous, *taken)
    for i, counts in enumerate(zip(*(t.astype(int) for t in taken), strict=True)):
        own = [np.repeat(s, c) for s, c in zip((normal, anomalous), counts, strict=True)]
        labels = np.repeat([0, 1], [len(s) for s in own])
        assert auc[i] == pytest.approx(roc_auc_score(labels, np.concatenate(own)))
        expected = roc_auc_score(labels, np.concatenate(own), max_fpr=0.1)
        assert pauc[i] == pytest.approx(expected)


def test_interval_is_that_of_the_choice_of_clips():
    """Against the standard error of Hanley & McNeil, 1982, for the AUC."""
    rng, n = np.random.default_rng(0), 200
    scores = np.concatenate([rng.normal(size=n), rng.normal(1.2, size=n)])
    rows = [
        {"path": str(i), "machine_id": "id_00", "label": str(i // n), "mean": str(score)}
        for i, score in enumerate(scores)
    ]
    auc = roc_auc_score([0] * n + [1] * n, scores)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    error = np.sqrt((auc * (1 - auc) + (n - 1) * (q1 + q2 - 2 * auc**2)) / n**2)
    low, high = map(float, interval([rows], "mean").split(" / ")[0].split("–"))
    assert low == pytest.approx(100 * (auc - 1.96 * error), abs=1)
    assert high == pytest.approx(100 * (auc + 1.96 * error), abs=1)


def test_one_machine_alone_has_no_clip_of_another(data, tmp_path):
    for clip in data.glob("train/*id_02*"):
        clip.unlink()  # those that test clips are moved to are enough
    assert machine_ids(data) == ["id_00", "id_02"]
    whole = lay_out_fold(data, 1, tmp_path / "folds")
    alone = lay_out_fold(data, 1, tmp_path / "folds", "id_02")
    for part in ("train", "test"):
        names = {path.name for path in (whole / "slider" / part).iterdir() if "id_02" in path.name}
        assert {path.name for path in (alone / "slider" / part).iterdir()} == names


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_can_be_run(name):
    parse(variant(name))


def test_detectors_are_ranked_within_their_fold():
    """Fold 1 is harder for all; the proxy `good` orders both folds, `bad` turns them round."""
    aucs = {"a": (0.7, 0.6), "b": (0.9, 0.8), "c": (0.5, 0.4)}
    detectors = [
        Detector(
            str(fold), flow, "mean", auc[fold], {"good": 10 * fold + auc[fold], "bad": -auc[0]}
        )
        for flow, auc in aucs.items()
        for fold in range(2)
    ]
    assert rank_correlation(detectors, "good", lambda d: d.fold) == pytest.approx(1)
    assert rank_correlation(detectors, "bad", lambda d: d.fold) == pytest.approx(-1)
    assert np.isnan(rank_correlation(detectors, "good", lambda d: (d.fold, d.flow)))
    _, _, good, bad = ranking_table(detectors).splitlines()
    assert good == "| good | 1.00 [1.00, 1.00] | 1.00 | – | 0.0 | b, `mean` (2 of 2) |"
    assert bad == "| bad | -1.00 [-1.00, -1.00] | -1.00 | – | 40.0 | c, `mean` (2 of 2) |"


def test_the_ceiling_is_what_other_folds_say_of_the_same_detector():
    """A machine ID that was trained alone has other folds of its own."""
    aucs = {"fold0": 0.5, "fold1": 0.6, "fold2": 0.8, "fold0_id_00": 0.1, "fold1_id_00": 0.2}
    detectors = [Detector(fold, "a", "mean", auc, {}) for fold, auc in aucs.items()]
    detectors += [Detector("fold0", "b", "mean", 0.9, {})]  # on one fold alone: left out
    found = {d.fold: d.proxies["real AUC on other folds"] for d in with_ceiling(detectors)}
    expected = {"fold0": 0.7, "fold1": 0.65, "fold2": 0.55, "fold0_id_00": 0.2, "fold1_id_00": 0.1}
    assert found == pytest.approx(expected)


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    auc, says = rng.normal(size=(2, 12)).round(1)  # with ties
    detectors = [
        Detector("0", str(i), "mean", *pair)
        for i, pair in enumerate(zip(auc, ({"p": s} for s in says), strict=True))
    ]
    expected = spearmanr(auc, says)[0]
    assert rank_correlation(detectors, "p", lambda d: d.fold) == pytest.approx(expected)


def test_pictures_are_of_the_scores(tmp_path):
    """One run has the anomaly between the normal clips, the other has it above."""
    for seed, scores in enumerate(([0.0, 0.6, 0.5], [0.0, 0.1, 0.5])):
        folder = tmp_path / str(seed)
        folder.mkdir()
        rows = rows_of(scores)
        write_csv(folder / "scores.csv", [[*rows[0]], *([*row.values()] for row in rows)])
    folders = [tmp_path / "0", tmp_path / "1"]
    roc = mean_roc([scores_of(folder) for folder in folders], "mean", "id_00")
    assert (roc[(FPR > 0) & (FPR < 0.49)] == 0.5).all()
    draw_rocs(tmp_path / "roc.svg", {"both": folders}, {"both": "mean"})
    draw_distributions(tmp_path / "scores.svg", folders, "mean")
    assert "both, mean" in (tmp_path / "roc.svg").read_text()
    drawn = (tmp_path / "scores.svg").read_text()
    assert all(words in drawn for words in ("id_00", "score by mean", "anomalous"))
