import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr

from experiments.ablations.variants import VARIANTS, variant
from experiments.assess.ranking import Detector, rank_correlation, ranking_table
from experiments.slider_fewshot.ensemble import averaged_over_seeds
from experiments.slider_fewshot.folds import FOLDS, lay_out_fold
from experiments.slider_fewshot.pictures import (
    FPR,
    draw_distributions,
    draw_rocs,
    mean_roc,
    scores_of,
)
from experiments.slider_fewshot.tables import Figure, by_fold, by_machine, spread
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


def test_tables_have_a_column_an_id_and_a_fold():
    assert by_machine(figures()).splitlines() == [
        "| config | rule | Average |",
        "| --- | --- | --- |",
        "| slider | mean | 80.0 ± 7.1 / 50.0 ± 0.0 |",
    ]
    assert by_fold(figures()).splitlines()[2] == (
        "| slider | mean | 70.0 ± 14.1 / 50.0 ± 0.0 | 90.0 ± 0.0 / 50.0 ± 0.0 |"
    )


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
    assert good == "| good | 1.00 | 1.00 | 1.00 | – | 0.0 | b, `mean` |"
    assert bad == "| bad | -1.00 | -1.00 | -1.00 | – | 40.0 | c, `mean` |"


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    auc, says = rng.normal(size=(2, 12)).round(1)  # with ties
    detectors = [
        Detector("0", str(i), "mean", *pair)
        for i, pair in enumerate(zip(auc, ({"p": s} for s in says), strict=True))
    ]
    expected = spearmanr(auc, says)[0]
    assert rank_correlation(detectors, "p", lambda d: d.fold) == pytest.approx(expected)


def test_an_average_over_seeds_averages_the_scores_of_a_clip(tmp_path):
    """Neither seed ranks the anomaly first, their mean does."""
    for seed, scores in enumerate(([0.6, 0.5, 0.0], [0.0, 0.5, 0.6])):
        rows = [
            ("normal_id_00_00000000.wav", "id_00", 0, scores[0]),
            ("anomaly_id_00_00000000.wav", "id_00", 1, scores[1]),
            ("normal_id_00_00000001.wav", "id_00", 0, scores[2]),
        ]
        if seed:
            rows.reverse()  # the order of the clips is no matter
        folder = tmp_path / str(seed)
        folder.mkdir()
        write_csv(folder / "scores.csv", [("path", "machine_id", "label", "mean"), *rows])
    folders = {0: [tmp_path / "0", tmp_path / "1"]}
    figures = averaged_over_seeds("both", folders, ["mean"])
    assert [(f.machine_id, f.auc) for f in figures] == [("id_00", 1.0), ("Average", 1.0)]
    roc = mean_roc([scores_of(tmp_path / "0"), scores_of(tmp_path / "1")], "mean", "id_00")
    assert roc[FPR < 0.49].max() == 0  # one of the two normal clips is above the anomaly
    draw_rocs(tmp_path / "roc.svg", {"both": folders[0]}, {"both": "mean"})
    draw_distributions(tmp_path / "scores.svg", folders[0], "mean")
    assert "both, mean" in (tmp_path / "roc.svg").read_text()
    drawn = (tmp_path / "scores.svg").read_text()
    assert all(words in drawn for words in ("id_00", "score by mean", "anomalous"))
