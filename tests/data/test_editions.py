"""The records of all editions, and what Zenodo says of them."""

import re

import pytest

from flowasd.data import editions, transfer
from flowasd.data.editions import EDITIONS, Part, find_file, find_part, list_archives, type_in
from flowasd.errors import UserError
from tests.conftest import REPO
from tests.data.server import serving

PARTS = {(year, name): part for year, parts in EDITIONS.items() for name, part in parts.items()}
# These numbers come from the challenge's pages, and not from the file that is tested.
RECORDS = {
    ("2020", "development"): 3678171,
    ("2020", "additional_training"): 3727685,
    ("2020", "evaluation"): 3841772,
    ("2020", "labels"): 3951620,
    ("2026", "development"): 19336329,
    ("2026", "additional_training"): 20151556,
    ("2026", "evaluation"): 20437238,
}


@pytest.fixture
def zenodo(monkeypatch):
    with serving() as server:
        monkeypatch.setattr(editions, "ZENODO", server.url)
        monkeypatch.setattr(transfer, "sleep", lambda _: None)
        yield server


def test_every_edition_has_three_parts_and_2020_has_labels():
    assert list(EDITIONS) == [str(year) for year in range(2020, 2027)]
    three = ["development", "additional_training", "evaluation"]
    assert [list(parts) for parts in EDITIONS.values()] == [[*three, "labels"]] + 6 * [three]


@pytest.mark.parametrize("part", PARTS.values(), ids=["-".join(key) for key in PARTS])
def test_a_part_is_well_formed(part):
    assert isinstance(part.record, int)
    assert part.source
    assert bool(part.types) != bool(part.file)
    for machine_type, md5 in part.types.items():
        assert re.fullmatch("[0-9A-Za-z]+", machine_type)
        assert md5 is None or re.fullmatch("[0-9a-f]{32}", md5)


def test_no_record_and_no_checksum_is_there_twice():
    records = [part.record for part in PARTS.values()]
    assert len(set(records)) == len(records)
    assert RECORDS.items() <= {key: part.record for key, part in PARTS.items()}.items()
    sums = [md5 for part in PARTS.values() for md5 in part.types.values() if md5]
    assert len(set(sums)) == len(sums) == 18 + 21


def test_the_documentation_has_every_record_and_type():
    text = (REPO / "docs" / "data.md").read_text()
    for part in PARTS.values():
        assert f"[{part.record}](https://zenodo.org/records/{part.record})" in text
        assert ", ".join(part.types) in text


def test_parts_that_are_not_there():
    assert find_part("2023", "evaluation").record == 7860847
    with pytest.raises(UserError, match="2019: is none of 2020, 2021"):
        find_part("2019", "development")
    with pytest.raises(UserError, match="part labels: edition 2021 has development, additional"):
        find_part("2021", "labels")


@pytest.mark.parametrize(
    ("name", "machine_type"),
    [
        ("dev_data_ToyCar.zip", "ToyCar"),
        ("dev_ToyCar_r2.zip", "ToyCar"),
        ("dev_ToyCarEmu.zip", "ToyCarEmu"),
        ("eval_data_3DPrinter_train_r2.zip", "3DPrinter"),
        ("eval_data_train_ToyCar.zip", "ToyCar"),
        ("ToyCar", "ToyCar"),
        ("ToyCar-copy (1).zip", "ToyCar"),
        ("toycars.zip", None),
        ("ToyCars.zip", None),
        ("", None),
    ],
)
def test_the_type_is_a_word_of_the_name(name, machine_type):
    assert type_in(name, ["ToyCar", "ToyCarEmu", "3DPrinter"]) == machine_type


def test_archives_are_what_zenodo_says(zenodo):
    part = Part(7, "a test", {"fan": None, "ToyCar": None, "ToyCarEmu": None})
    names = ["dev_fan.zip", "dev_ToyCar_r2.zip", "dev_ToyCar_r10.zip", "dev_ToyCar.zip"]
    others = ["dev_ToyCarEmu.zip", "readme_fan.txt", "fan.zip.md5"]
    zenodo.publish(7, {name: name.encode() for name in names + others})
    found = list_archives(part, ["ToyCar", "fan"])
    assert {name: file.size for name, file in found.items()} == {"ToyCar": 18, "fan": 11}
    assert found["ToyCar"].url == f"{zenodo.url}/records/7/files/dev_ToyCar_r10.zip?download=1"
    zenodo.publish(8, {"dev_ToyCar.zip": b""})
    with pytest.raises(UserError, match="records/8: has no archive of fan"):
        list_archives(part._replace(record=8), ["fan"])


def test_a_checksum_that_is_known_is_the_one(zenodo):
    md5 = "900150983cd24fb0d6963f7d28e17f72"  # of "abc" (RFC 1321)
    zenodo.publish(7, {"fan.zip": b"abc"})
    assert list_archives(Part(7, "a test", {"fan": md5}), ["fan"])["fan"].md5 == md5
    zenodo.publish(7, {"fan.zip": b"abd"})
    with pytest.raises(UserError, match=f"and had {md5}"):
        list_archives(Part(7, "a test", {"fan": md5}), ["fan"])


def test_the_one_file_of_a_part(zenodo):
    zenodo.publish(7, {"list.csv": b"abc"})
    assert find_file(Part(7, "a test", file="list.csv")).size == 3
    with pytest.raises(UserError, match="has no file other"):
        find_file(Part(7, "a test", file="other"))


@pytest.mark.parametrize(
    "changes",
    [{"key": None}, {"key": 1}, {"checksum": "sha1:0"}, {"checksum": None}, {"size": "many"}],
)
def test_what_zenodo_does_not_write(changes, zenodo):
    zenodo.publish(7, {"fan.zip": b"abc"}, **changes)
    with pytest.raises(UserError, match="no list of files as Zenodo writes it"):
        list_archives(Part(7, "a test", {"fan": None}), ["fan"])


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"null", b'{"files": {"a": 1}}', b'"files"'])
def test_what_is_no_record(answer, zenodo):
    zenodo.files["/api/records/7"] = answer
    with pytest.raises(UserError, match="no list of files as Zenodo writes it"):
        list_archives(Part(7, "a test", {"fan": None}), ["fan"])
