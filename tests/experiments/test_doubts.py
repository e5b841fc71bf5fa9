"""The study of the limits of warnings: its command, and what it counts."""

import csv

import numpy as np
import pytest

from experiments.doubts.bands import upsampled
from flowasd.detector import Detector
from tests.data.trees import make_tree
from tests.experiments.conftest import experiment


def test_an_upsampled_copy_has_the_low_tones_alone():
    time = np.arange(16000) / 16000
    low, high = (np.sin(2 * np.pi * hertz * time, dtype=np.float32) / 4 for hertz in (1000, 7000))
    inner = slice(1000, -1000)  # the filter rings at the ends
    np.testing.assert_allclose(upsampled(low + high)[inner], low[inner], atol=1e-3)


@pytest.mark.slow
def test_the_command_measures_every_clip_under_its_ids(development_set, tmp_path):
    root, files = make_tree("dcase2022", tmp_path / "others", sounding=True)
    options = ("--config_name=smoke", "--seeds=0", "--narrowed=3", f"--workdir={tmp_path}")
    result = experiment("doubts", f"--data={development_set}", f"--others={root.parent}", *options)
    assert result.status == 0, result.stderr
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    detector = Detector.load(tmp_path / "seed0")
    tested = [path.name for path in (tmp_path / "folds/fold0/slider/test").iterdir()]
    own = [row for row in rows if row["clips"] in ("normal", "anomaly")]
    assert sorted(row["name"] for row in own) == sorted(tested)
    assert all(row["machine_id"] in row["name"] for row in own)
    others = [row for row in rows if row["clips"] == "slider"]
    assert len(others) == len(files) * len(detector.known_ids)
    path = tmp_path / "folds/fold0/slider/test" / own[0]["name"]
    (scored,) = detector.results([path])
    normal = detector.normal_scores(scored.machine_id, "mean")
    spread = np.quantile(normal, 0.9) - np.median(normal)
    expected = (scored.scores["mean"] - np.median(normal)) / spread
    assert float(own[0]["distance"]) == pytest.approx(expected, abs=0.006)
    assert f"| anomaly | {sum(row['clips'] == 'anomaly' for row in own)} |" in result.stdout
