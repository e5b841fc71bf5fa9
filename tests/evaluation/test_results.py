"""What is written: the evaluator's files and ours, character by character, and every format."""

import csv
import io
import json
from pathlib import Path

import pytest

from flowasd.errors import UserError
from flowasd.evaluation.evaluate import Evaluation, ScoredClip
from flowasd.evaluation.metrics import Row, summary
from flowasd.evaluation.official import Judgement, table_2020
from flowasd.evaluation.results import FILE_COLUMNS, FORMATS, format_of, write_results
from flowasd.run.records import FORMAT, sealed
from flowasd.scoring.rules import RULES

# What a file name may hold: separators, quotes, line breaks and what is not ASCII.
ROWS = [
    ("plain.wav", "id_00", 1.5, 0.5, 0),
    ('a, "b".wav', "id_02", -0.1, 1.0, 0),
    ("two\nlines.wav", "id_02", 1e-300, 0.0625, 1),
    ("größe→.wav", "id_04", 12345.678901234567, 1e-5, 1),
]


@pytest.fixture
def written(tmp_path):
    """Returns what a format makes of the rows."""

    def write(suffix: str) -> str:
        path = tmp_path / f"scores{suffix}"
        with path.open("w", newline="", encoding="utf-8") as stream:
            write_row = FORMATS[suffix](stream, FILE_COLUMNS)
            for name, *rest in ROWS:
                write_row((Path(name), *rest))
        return path.read_bytes().decode("utf-8")

    return write


def test_csv_is_read_back_by_the_csv_module(written):
    header, *rows = csv.reader(io.StringIO(written(".csv"), newline=""))
    assert tuple(header) == FILE_COLUMNS
    read = [(*row[:2], float(row[2]), float(row[3]), int(row[4])) for row in rows]
    assert read == ROWS


def test_csv_of_plain_rows_is_what_it_always_was(written):
    lines = written(".csv").splitlines()
    assert lines[:2] == ["path,machine_id,score,p_value,decision", "plain.wav,id_00,1.5,0.5,0"]


def test_json_lines_are_read_back_by_the_json_module(written):
    lines = written(".jsonl").splitlines()
    assert len(lines) == len(ROWS)
    rows = [json.loads(line) for line in lines]
    assert [tuple(row) for row in rows] == [FILE_COLUMNS] * len(ROWS)
    assert [tuple(row.values()) for row in rows] == ROWS


def test_the_suffix_says_the_format():
    assert format_of(None) is format_of("x/y.CSV") is FORMATS[".csv"]
    assert format_of("scores.jsonl") is FORMATS[".jsonl"]
    for name in ("scores.xlsx", "scores"):
        with pytest.raises(UserError, match=rf"{name}: the suffix is none of \.csv, \.jsonl"):
            format_of(name)


P_VALUES = (0.5, 0.1, 0.11)


def make_evaluation(*, labelled: bool = True, data: str = "SIMULATED") -> Evaluation:
    """Three clips of two IDs; the score of clip `i` by the rule of number `n` is `i + n / 4`."""
    clips = [
        ScoredClip(name, machine_id, label if labelled else None, scores, P_VALUES[i])
        for i, (name, machine_id, label) in enumerate(
            [("a,1.wav", "id_00", 0), ("b.wav", "id_00", 1), ("c.wav", "id_02", None)]
        )
        for scores in [{rule: i + n / 4 for n, rule in enumerate(RULES)}]
    ]
    columns = {"std": [Row("id_00", 1.0, 0.75)]} if labelled else {}
    return Evaluation(
        workdir=Path("run"),
        clips=clips,
        paths=[f"test/{clip.name}" for clip in clips],
        examples=[],
        columns=columns,
        summary={
            "data": data,
            "trained_on": "real",
            "machine_type": "slider",
            "rule": "std",
            "metrics": summary(columns),
            "validation_nll": None,
            "decisions": {"alpha": 0.1},
            "official": {"edition": 2020},
        },
        history=[],
        estimates=[],
        gamma_thresholds={"id_00": 0.5, "id_02": 9.0},
        official=table_2020(
            [Judgement("id_00", None, 0, 0.25, False)]
            + labelled * [Judgement("id_00", None, 1, 1.25, True)]
        ),
    )


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "results").glob("*.csv")}


def test_the_csvs_are_as_the_evaluator_reads_them(tmp_path):
    write_results(tmp_path, make_evaluation())
    rules = ",".join(RULES)
    by_rule = [",".join(str(i + n / 4) for n in range(len(RULES))) for i in range(3)]
    assert files(tmp_path) == {
        "anomaly_score_slider_id_00.csv": '"a,1.wav",0.25\nb.wav,1.25\n',
        "anomaly_score_slider_id_02.csv": "c.wav,2.25\n",
        "decision_result_slider_id_00.csv": '"a,1.wav",0\nb.wav,1\n',
        "decision_result_slider_id_02.csv": "c.wav,0\n",
        "result.csv": "slider,SIMULATED\nid,AUC,pAUC\n00,1.0,1.0\nAverage,1.0,1.0\n",
        "scores.csv": (
            f"path,machine_id,label,score,p_value,decision,{rules},data\n"
            f'"test/a,1.wav",id_00,0,0.25,0.5,0,{by_rule[0]},SIMULATED\n'
            f"test/b.wav,id_00,1,1.25,0.1,1,{by_rule[1]},SIMULATED\n"
            f"test/c.wav,id_02,,2.25,0.11,0,{by_rule[2]},SIMULATED\n"
        ),
    }


def test_real_recordings_without_labels_have_no_mark_and_no_figures(tmp_path):
    write_results(tmp_path, make_evaluation(labelled=False, data="real"))
    written = files(tmp_path)
    assert written["result.csv"] == "slider\nid,AUC,pAUC\n"
    assert all(line.endswith(",real") for line in written["scores.csv"].splitlines()[1:])


def test_files_of_ids_that_are_gone_do_not_stay(tmp_path):
    write_results(tmp_path, make_evaluation())
    stale = tmp_path / "results" / "anomaly_score_slider_id_99.csv"
    stale.write_text("x.wav,1.0\n")
    assessment = tmp_path / "results" / "assess.csv"
    assessment.write_text("")
    write_results(tmp_path, make_evaluation())
    assert not stale.exists()
    assert assessment.exists()
    assert (tmp_path / "results" / "anomaly_score_slider_id_02.csv").exists()


def test_the_summary_holds_every_number_and_its_format(tmp_path):
    evaluation = make_evaluation()
    write_results(tmp_path, evaluation)
    read = json.loads((tmp_path / "results" / "summary.json").read_text())
    assert read == sealed(evaluation.summary)
    assert read.items() >= ({"format": FORMAT} | evaluation.summary).items()
    assert read["metrics"]["std"]["Average"] == {"auc": 1.0, "pauc": 0.75}
