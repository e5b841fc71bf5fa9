"""The table of docs/data.md: every layout is trained on, scored, evaluated and submitted."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from flowasd.data.ground_truth import read_ground_truth
from flowasd.detector import Detector
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.results import write_results
from flowasd.training.train import train
from tests.conftest import smoke_config
from tests.data.trees import NAMED, TREES, make_tree

QUICK = {"train.steps": 2, "train.warmup_steps": 1, "train.eval_every": 2, "train.log_every": 2}
# A clip of each machine, in every layout, so that all train by one compiled program.
QUICK |= {"data.validation": 0.01}
PARTS = {
    "dcase2020": ["id_00", "id_02"],
    "dcase2020_additional": ["id_01", "id_03"],
    "dcase2021": [f"section_0{i}_{d}_test" for i in (0, 1) for d in ("source", "target")],
    "mimii": ["id_00", "id_02"],
    "toyadmos": ["case1", "case2"],
    "folder": ["left", "right"],
    "manifest": ["left", "right"],
}
UNLABELLED = ["dcase2020_additional", "dcase2022_evaluation"]
SECTIONS = ["section_00_test", "section_01_test"]  # from 2022 on


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module", params=TREES)
def submitted(request, tmp_path_factory):
    """A layout's name, its files, the workdir of a run on them, and the evaluation of that."""
    folder = tmp_path_factory.mktemp(request.param)
    root, files = make_tree(request.param, folder, sounding=True)
    layout = "folder" if request.param in NAMED else "auto"
    config = smoke_config(QUICK | {"data.root": str(root), "data.layout": layout})
    train(config, folder / "run")
    calibrate_run(folder / "run")
    evaluation = evaluate(folder / "run", illustrated=False)
    write_results(folder / "run", evaluation)
    return request.param, files, folder / "run", evaluation


@pytest.mark.slow
def test_the_evaluators_files_hold_every_test_clip_once(submitted):
    name, files, workdir, evaluation = submitted
    results = workdir / "results"
    kind = "list" if name == "manifest" else "slider"
    for what in ("anomaly_score", "decision_result"):
        written = {path.name: path for path in results.glob(f"{what}_*.csv")}
        assert sorted(written) == [f"{what}_{kind}_{p}.csv" for p in PARTS.get(name, SECTIONS)]
        rows = [row for path in written.values() for row in read_csv(path)]
        assert all(len(row) == 2 for row in rows)
        tested = [f.path for f in files if f.split == "test"]
        if tested:  # the layout says what is tested
            (ends,) = {row[0].count("/") for row in rows}
            assert ends == (2 if name == "folder" else 0)  # as long as it takes to tell them apart
            expected = ["/".join(path.split("/")[-1 - ends :]) for path in tested]
            assert sorted(row[0] for row in rows) == sorted(expected)
        assert len(rows) == len(evaluation.clips)
    assert {row[1] for row in rows} <= {"0", "1"}


@pytest.mark.slow
def test_the_official_score_is_that_of_the_written_scores(submitted):
    name, _, workdir, evaluation = submitted
    rows = [
        dict(zip(t[0], row, strict=True))
        for t in [read_csv(workdir / "results" / "scores.csv")]
        for row in t[1:]
    ]
    if name in UNLABELLED:
        assert evaluation.summary["official"]["score"] is None
        assert not evaluation.columns
        return

    def auc(own, **how):
        return roc_auc_score(
            [int(r["label"]) for r in own], [float(r["score"]) for r in own], **how
        )

    def of(group, domain=None):
        own = [r for r in rows if r["machine_id"] == group]
        return [r for r in own if domain is None or f"_{domain}_" in r["path"]]

    groups = sorted({row["machine_id"] for row in rows})
    if name == "dcase2021":
        pairs = [of(g, d) for g in groups for d in ("source", "target")]
        expected = hmean(
            [max(f, 1e-12) for own in pairs for f in (auc(own), auc(own, max_fpr=0.1))]
        )
    elif name in PARTS:
        expected = np.mean([f for g in groups for f in (auc(of(g)), auc(of(g), max_fpr=0.1))])
    else:
        figures = [
            auc([r for r in of(g) if r["label"] == "1" or f"_{d}_" in r["path"]])
            for g in groups
            for d in ("source", "target")
        ] + [auc(of(g), max_fpr=0.1) for g in groups]
        expected = hmean(np.maximum(figures, 1e-12))
    assert evaluation.summary["official"]["score"] == pytest.approx(expected)


@pytest.mark.slow
def test_single_files_are_scored_as_in_the_evaluation(submitted):
    name, files, workdir, evaluation = submitted
    root = workdir.parent / "slider"
    place = {path: clip for path, clip in zip(evaluation.paths, evaluation.clips, strict=True)}
    tested = next(f for f in files if f.split == "test" or "abnormal" in f.path or "ab01" in f.path)
    path = root / tested.path
    told = tested.machine_id if name == "manifest" else None
    (result,) = Detector.load(workdir).results([path], told)
    (clip,) = [own for end, own in place.items() if str(path).endswith(end)]
    assert (result.machine_id, tested.machine_id) == (clip.machine_id, clip.machine_id)
    assert result.score == pytest.approx(clip.scores["mean"], rel=1e-3, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("submitted", UNLABELLED, indirect=True)
def test_labels_of_the_organisers_evaluate_an_unlabelled_set(submitted, tmp_path):
    name, _, workdir, evaluation = submitted
    path, lines = tmp_path / "eval_data_list.csv", ["slider"]
    for i, clip in enumerate(evaluation.clips):
        label, number = i % 2, f"{i:08d}" if name.startswith("dcase2020") else f"{i:04d}"
        state, domain = ("normal", "anomaly")[label], ("source", "target")[i // 2 % 2]
        true = f"{clip.machine_id}_{domain}_test_{state}_{number}.wav"
        if name.startswith("dcase2020"):
            true = f"{state}_{clip.machine_id}_{number}.wav"
        lines.append(f"{clip.name},{true},{label}")
    path.write_text("\n".join(lines))
    labelled = evaluate(workdir, labels=path, illustrated=False)
    known = read_ground_truth(path)["slider"]
    assert [c.label for c in labelled.clips] == [
        known[Path(c.name).stem].label for c in labelled.clips
    ]
    assert [c.scores for c in labelled.clips] == [c.scores for c in evaluation.clips]
    aucs = [
        roc_auc_score(
            *zip(
                *((c.label, c.scores["mean"]) for c in labelled.clips if c.group == g), strict=True
            )
        )
        for g in sorted({c.group for c in labelled.clips})
    ]
    assert [row.auc for row in labelled.columns["mean"]] == pytest.approx(aucs)
    assert labelled.summary["official"]["score"] is not None


@pytest.mark.slow
def test_one_bad_test_file_does_not_stop_training(tmp_path):
    root, files = make_tree("dcase2020", tmp_path, sounding=True)
    bad = next(root / f.path for f in files if f.split == "test")
    bad.write_bytes(b"RIFF")
    config = smoke_config(QUICK | {"data.root": str(root)})
    with pytest.warns(UserWarning, match=rf"(?s)1 of .*{bad.name}.*left out of the test"):
        train(config, tmp_path / "run")
    with pytest.warns(UserWarning, match=bad.name):
        calibrate_run(tmp_path / "run")
    with pytest.warns(UserWarning, match=bad.name):
        evaluation = evaluate(tmp_path / "run", illustrated=False)
    assert bad.name not in {clip.name for clip in evaluation.clips}
    assert len(evaluation.clips) == sum(f.split == "test" for f in files) - 1


@pytest.mark.slow
def test_a_flow_of_domains_is_judged_by_section(tmp_path):
    """The flow is told section and domain; the evaluator's files and rows are of sections."""
    root, files = make_tree("dcase2022", tmp_path, sounding=True)
    config = smoke_config(QUICK | {"data.root": str(root), "data.condition": "domain"})
    train(config, tmp_path / "run")
    calibrate_run(tmp_path / "run")
    evaluation = evaluate(tmp_path / "run", illustrated=False)
    told = {Path(f.path).name: f"{f.machine_id}_{f.domain}" for f in files if f.split == "test"}
    assert {clip.name: clip.machine_id for clip in evaluation.clips} == told
    assert [*evaluation.official.rows] == [("section_00",), ("section_01",)]
    write_results(tmp_path / "run", evaluation)
    written = sorted(path.name for path in (tmp_path / "run" / "results").glob("anomaly_*.csv"))
    assert written == [f"anomaly_score_slider_{section}.csv" for section in SECTIONS]
