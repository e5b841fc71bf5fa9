"""The organisers' lists of labels."""

from pathlib import Path

import pytest

from flowasd.data.ground_truth import read_ground_truth, true_clips
from flowasd.errors import UserError

LIST = """fan
id_01_00000000.wav,normal_id_01_00000098.wav,0
slider
id_01_00000000.wav,anomaly_id_01_00000064.wav,1
id_03_00000000.wav,normal_id_03_00000007.wav,0
bearing
section_00_0000.wav,section_00_target_test_anomaly_0003_vel_8_loc_G.wav
"""


@pytest.fixture
def known(tmp_path):
    path = tmp_path / "eval_data_list.csv"
    path.write_text(LIST)
    return read_ground_truth(path)


def test_labels_and_domains_come_from_the_other_name(known):
    clips = true_clips(["id_03_00000000.flac", "id_01_00000000.wav"], "slider", known)
    assert [clip.label for clip in clips] == [0, 1]
    (clip,) = true_clips(["section_00_0000.wav"], "bearing", known)
    assert (clip.label, clip.domain, clip.machine_id) == (1, "target", "section_00")


@pytest.mark.parametrize(
    ("names", "machine_type", "message"),
    [
        (["id_01_00000000.wav"], "slider", r"1 clips of the list of labels are missing \(id_03"),
        (
            ["id_01_00000000.wav", "id_05_00000000.wav"],
            "fan",
            r"1 clips are not in the list .*id_05",
        ),
        (["id_01_00000000.wav"], "valve", r"labels are of fan, slider, bearing; .* none of valve"),
    ],
)
def test_other_clips_than_those_of_the_list_are_refused(known, names, machine_type, message):
    with pytest.raises(UserError, match=message):
        true_clips(names, machine_type, known)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id_01_00000000.wav,normal_id_01_00000098.wav,0\n", r"first line must be a machine type"),
        ("fan\na.wav,normal_id_01_00000098.wav,1\n", r"line 2: normal.* do not say the same"),
        ("fan\na.wav,id_01_00000098.wav\n", r"line 2: id_01.* no label"),
        (
            "fan\na.wav,normal_id_01_00000098.wav\na.wav,normal_id_01_00000098.wav\n",
            r"line 3: .*twice",
        ),
        ("fan\na.wav,whatever.wav\n", r"line 2: whatever\.wav: not a DCASE file name"),
    ],
)
def test_a_faulty_list_is_refused_with_its_line(text, message, tmp_path):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_ground_truth(tmp_path / "list.csv")


def test_a_missing_list_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"list\.csv: cannot be read \(No such file"):
        read_ground_truth(tmp_path / "list.csv")


def test_the_organisers_list_of_2020_is_read(recordings):
    path = recordings / "dcase2020_eval_data_list.csv"
    known = read_ground_truth(path)
    assert {*known} == {"fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve"}
    lines = path.read_text().split()
    assert sum(map(len, known.values())) == sum("," in line for line in lines)
    own = lines[lines.index("slider") + 1 :]
    own = own[: next(i for i, line in enumerate(own) if "," not in line)]
    labels = {line.split(",")[0]: int(line.split(",")[2]) for line in own}
    clips = true_clips([*labels], "slider", known)
    assert [clip.label for clip in clips] == [*labels.values()]
    assert {Path(clip.path).suffix for clip in clips} == {".wav"}
