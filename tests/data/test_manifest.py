"""Manifests: what is read of them, and what is wrong with them."""

import pytest

from flowasd.data.dataset import read_dataset
from flowasd.errors import UserError

MANIFESTS = {
    "no header": ("a.wav,left,train,normal\n", r"first line must name .* it is a\.wav,left,train"),
    "nothing": ("", r"first line must name .* it is empty"),
    "bars": ("path|label\na.wav|normal\n", r"commas, semicolons or tabs .* it is path\|label"),
    "split": ("path,split\na.wav,training\n", r"line 2: split is training, not one of train, test"),
    "label": ("path,label\na.wav,good\n", r"line 2: label is good, not one of normal"),
    "twice": ("path\na.wav\na.wav\n", r"line 3: .*a\.wav is there twice"),
    "cells": ("path\na.wav,b\n", r"line 2: has more cells"),
    "path": ("path,label\n,normal\n", r"line 2: names no path"),
    "anomalous": ("path,label\na.wav,anomaly\n", r"list\.csv: 1 anomalous clips"),
    "column": ("path,Path\na.wav,b\n", r"first line names path twice"),
    "slash": ("path,machine_id\na.wav,a/b\n", r"must not hold a /"),
}


@pytest.mark.parametrize("fault", MANIFESTS)
def test_a_faulty_manifest_is_refused_with_its_line(fault, tmp_path):
    text, message = MANIFESTS[fault]
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path / "list.csv")


def test_a_manifest_of_paths_alone_trains_one_machine(tmp_path):
    (tmp_path / "list.csv").write_text("path\nb.wav\na.wav\n")
    dataset = read_dataset(tmp_path / "list.csv")
    assert [clip.path for clip in dataset.train] == [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert {(clip.machine_id, clip.label) for clip in dataset.train} == {("machine", None)}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_cells_of_a_manifest_are_parted_by_commas_semicolons_or_tabs(delimiter, mark, tmp_path):
    """Excel writes semicolons where a comma is a decimal mark, and a mark of UTF-8 before all."""
    rows = [
        ("machine_id", "path", "load"),
        ("rail", '"a, b; c.wav"', "0.5"),
        ("rail", "d.wav", "1"),
    ]
    text = mark + "".join(delimiter.join(row) + "\r\n" for row in rows)
    (tmp_path / "list.csv").write_bytes(text.encode())
    first, second = read_dataset(tmp_path / "list.csv").train
    assert [clip.path for clip in (first, second)] == [tmp_path / "a, b; c.wav", tmp_path / "d.wav"]
    assert (first.machine_id, first.attributes) == ("rail", (("load", "0.5"),))


def test_a_comma_is_a_decimal_mark_between_semicolons(tmp_path):
    (tmp_path / "list.csv").write_text("path;load\na.wav;0,5\n")
    (clip,) = read_dataset(tmp_path / "list.csv").train
    assert clip.attributes == (("load", "0,5"),)


def test_blanks_and_capitals_in_the_first_line_of_a_manifest_do_not_matter(tmp_path):
    (tmp_path / "list.csv").write_text(
        "Machine_ID, Path ,Split,LABEL,Vel\nrail,a.wav,train,normal,3\nrail,b.wav,test,anomaly,\n"
    )
    dataset = read_dataset(tmp_path / "list.csv")
    assert [clip.path for clip in dataset.train] == [tmp_path / "a.wav"]
    assert dataset.train[0].attributes == (("Vel", "3"),)
    assert [(c.path, c.machine_id, c.label) for c in dataset.test] == [
        (tmp_path / "b.wav", "rail", 1)
    ]
