"""The commands of docs/dcase2020.md and of all machine types, on simulated archives."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.commands import command
from tests.conftest import REPO
from tests.data.trees import TEST, make_tree

SMOKE = f"--config={REPO / 'configs' / 'smoke.py'}"
MINE = (
    "from configs import smoke\n"
    "def get_config():\n"
    "    config = smoke.get_config()\n"
    "    config.score.rule = '{}'\n"
    "    return config\n"
)


def flowasd(*arguments: object):
    result = command("flowasd.main", *arguments)
    assert result.status == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The parts of the challenge of 2020, as the download leaves them."""
    folder = tmp_path_factory.mktemp("DATA")
    make_tree("dcase2020", folder / "development", sounding=True)
    root, files = make_tree("dcase2020_additional", folder / "both", sounding=True)
    for part, split in (("additional_training", "train"), ("evaluation", "test")):
        (folder / part / "slider").mkdir(parents=True)
        (root / split).rename(folder / part / "slider" / split)
    names = [Path(f.path).name for f in files if f.split == "test"]
    rows = [
        f"{name},{('normal', 'anomaly')[i % 2]}_{name[:6]}{i:08d}.wav,{i % 2}"
        for i, name in enumerate(names)
    ]
    (folder / "labels").mkdir()
    text = "\n".join(["fan", "id_01_00000000.wav,normal_id_01_00000001.wav,0", "slider", *rows])
    (folder / "labels" / "eval_data_list.csv").write_text(text)
    return folder


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.slow
def test_a_config_is_chosen_without_test_clips(archives, tmp_path):
    paths = [tmp_path / "mean.py", tmp_path / "std.py"]
    for path in paths:
        path.write_text(MINE.format(path.stem))
    root = f"--config.data.root={archives / 'development'}"
    result = flowasd("choose", tmp_path, *paths, SMOKE, root)
    header, *rows = read_csv(tmp_path / "choice.csv")
    assert header == ["config", "rule", "auc_on_stand_ins"]
    assert {(row[0], row[1]) for row in rows} == {("mean", "mean"), ("std", "std")}
    aucs = [float(row[2]) for row in rows]
    assert aucs == sorted(aucs, reverse=True)
    for name, rule, auc in rows:  # the mean over the severities of the blend
        assessed = read_csv(tmp_path / name / "results" / "assess.csv")[1:]
        own = [float(row[3]) for row in assessed if row[0] == "blend" and row[2] == rule]
        assert float(auc) == pytest.approx(np.mean(own))
        assert not (tmp_path / name / "results" / "scores.csv").exists()
    assert result.stdout.splitlines()[-1] == f"Chosen: {rows[0][0]}"


@pytest.mark.slow
def test_the_evaluation_set_is_scored_and_later_labelled(archives, tmp_path):
    parts = "--config.data.train_on=development+additional_training"
    where = (f"--config.data.root={archives}", parts, "--config.data.test_on=evaluation")
    flowasd(SMOKE, *where, f"--workdir={tmp_path}")
    results = tmp_path / "results"
    scores = {}
    for kind in ("anomaly_score", "decision_result"):
        written = sorted(path.name for path in results.glob(f"{kind}_*"))
        assert written == [f"{kind}_slider_id_0{i}.csv" for i in (1, 3)]
    for i in (1, 3):
        rows = read_csv(results / f"anomaly_score_slider_id_0{i}.csv")
        assert sorted(row[0] for row in rows) == [
            f"id_0{i}_{number:08d}.wav" for number in range(2 * TEST)
        ]
        scores |= {row[0]: float(row[1]) for row in rows}
    page = (tmp_path / "report.html").read_text()
    assert "The clips have no labels, so there is no AUC" in page

    labels = archives / "labels" / "eval_data_list.csv"
    flowasd("--mode=evaluate", f"--workdir={tmp_path}", f"--labels={labels}")
    listed = [line.split(",") for line in labels.read_text().split("slider\n")[1].split()]
    summary = json.loads((results / "summary.json").read_text())
    for i in ("id_01", "id_03"):
        own = [(int(label), scores[name]) for name, _, label in listed if name.startswith(i)]
        expected = roc_auc_score(*zip(*own, strict=True))
        assert summary["metrics"]["mean"][i]["auc"] == pytest.approx(expected)


@pytest.mark.slow
def test_every_machine_type_of_a_root_is_trained(tmp_path):
    """One of three cannot be trained; the score of the others is that of all their figures."""
    for name in ("fan", "gearbox", "valve"):
        root, _ = make_tree("dcase2022", tmp_path / name, sounding=True)
        root.rename(tmp_path / name / name)
    for path in (tmp_path / "gearbox" / "gearbox" / "train").iterdir():
        path.write_bytes(b"RIFF")
    workdir = tmp_path / "runs"
    where = (f"--config.data.root={tmp_path}", f"--workdir={workdir}")
    result = command("flowasd.main", "--mode=train_all", SMOKE, *where)
    assert result.status == 1
    assert "flowasd: gearbox: 16 of" in result.stderr
    header, *rows = read_csv(workdir / "result.csv")
    assert [row[0] for row in rows] == ["fan", "valve", "all"]
    values = [
        value
        for name in ("fan", "valve")
        for value in json.loads((workdir / name / "results" / "summary.json").read_text())[
            "official"
        ]["values"]
    ]
    assert len(values) == 2 * 2 * 3
    score = len(values) / sum(1 / max(value, 1e-300) for value in values)
    assert float(rows[-1][header.index("official_score")]) == pytest.approx(score)
