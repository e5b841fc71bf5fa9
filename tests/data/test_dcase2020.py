import re
from pathlib import Path

import pytest

from flowasd.data.clips import Clip
from flowasd.data.dataset import read_dataset
from flowasd.data.layouts.dcase2020 import parse_clip
from flowasd.data.source import open_source
from flowasd.errors import UserError
from tests.conftest import smoke_config

TRAIN = ["normal_id_00_00000000.wav", "normal_id_00_00000001.wav", "normal_id_02_00000000.flac"]
MORE = [f"normal_id_0{i % 2 * 2}_{i:08d}.wav" for i in range(10, 20)]
TEST = ["anomaly_id_02_00000000.flac", "normal_id_00_00000000.WAV"]


def make_machine_type(folder: Path, train=TRAIN, test=TEST) -> Path:
    for part, names in {"train": train, "test": test}.items():
        (folder / part).mkdir(parents=True)
        for name in names:
            (folder / part / name).touch()
    return folder


def names(clips) -> list[str]:
    return [clip.name for clip in clips]


@pytest.mark.parametrize(
    ("name", "machine_id", "label"),
    [
        ("normal_id_00_00000000.wav", "id_00", 0),
        ("anomaly_id_06_00000123.flac", "id_06", 1),
        ("id_01_00000042.wav", "id_01", None),
        ("normal_id_10_00005000.FLAC", "id_10", 0),
    ],
)
def test_a_name_tells_machine_and_label(name, machine_id, label):
    path = Path("somewhere", name)
    assert parse_clip(path) == Clip(path, machine_id, label)
    assert parse_clip(path).name == name


@pytest.mark.parametrize(
    "name",
    [
        "section_00_source_test_normal_0001.wav",
        "normal_id_00_0000000.wav",
        "normal_id_0_00000000.wav",
        "Normal_id_00_00000000.wav",
        "slider_normal_id_00_00000000.wav",
        "normal_id_00_00000000.mp3",
        "normal_id_00_00000000.wav.part",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match=rf"{re.escape(name)}: .*expected normal_id_00_00000000"):
        parse_clip(Path(name))


@pytest.mark.parametrize(
    ("place", "root"),
    [
        ("slider", "slider"),
        ("slider", "."),
        ("dev_data/dev_data/slider", "dev_data"),
        ("dev_data/dev_data/slider", "."),
    ],
)
def test_the_machine_type_is_found_at_or_below_the_root(tmp_path, place, root):
    make_machine_type(tmp_path / place)
    dataset = read_dataset(tmp_path / root)
    assert dataset.machine_type == "slider"
    assert names(dataset.train) == sorted(TRAIN)
    assert names(dataset.test) == sorted(TEST)
    assert [clip.label for clip in dataset.test] == [1, 0]


def test_the_working_folder_can_be_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(make_machine_type(tmp_path / "fan"))
    assert read_dataset(Path()).machine_type == "fan"


@pytest.mark.parametrize("root", ["slider", "."])
def test_the_machine_type_is_the_folders_own_name_not_a_links_target(tmp_path, root):
    disk = make_machine_type(tmp_path / "elsewhere" / "disk7", train=[*TRAIN, *MORE])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "slider").symlink_to(disk, target_is_directory=True)
    config = smoke_config({"data.root": str(tmp_path / "data" / root)})
    source = open_source(config.data, config.seed)
    assert source.machine_type == "slider"
    assert names(source.splits["test"]) == sorted(TEST)


def test_links_are_files_even_broken_ones(tmp_path):
    recording = tmp_path / "elsewhere.wav"
    recording.touch()
    folder = make_machine_type(tmp_path / "slider", train=[])
    (folder / "train" / "normal_id_00_00000000.wav").symlink_to(recording)
    (folder / "train" / "normal_id_02_00000000.wav").symlink_to(tmp_path / "lost.wav")
    assert len(read_dataset(tmp_path).train) == 2


def test_what_is_no_audio_is_ignored(tmp_path):
    folder = make_machine_type(tmp_path / "slider")
    (folder / "faults.csv").touch()
    for name in ("README.md", ".DS_Store", "._normal_id_00_00000000.wav", "notes"):
        (folder / "train" / name).touch()
    (folder / "train" / "folder.wav").mkdir()
    assert names(read_dataset(folder).train) == sorted(TRAIN)


def test_the_test_folder_may_be_missing_or_unlabelled(tmp_path):
    folder = make_machine_type(tmp_path / "slider", test=["id_00_00000000.wav"])
    assert [clip.label for clip in read_dataset(folder).test] == [None]
    (folder / "test" / "id_00_00000000.wav").unlink()
    (folder / "test").rmdir()
    assert read_dataset(folder).test == ()


def test_a_missing_root_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        read_dataset(tmp_path / "nowhere")


def test_a_root_without_train_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no train/ in it"):
        read_dataset(tmp_path)


def test_a_train_folder_without_audio_is_an_error(tmp_path):
    make_machine_type(tmp_path / "slider", train=["README.md"])
    with pytest.raises(UserError, match=r"train: holds no \.wav or \.flac clip"):
        read_dataset(tmp_path)


def test_several_folders_of_one_machine_type_are_told_apart_by_their_places(tmp_path):
    make_machine_type(tmp_path / "development" / "slider")
    make_machine_type(tmp_path / "additional_training" / "slider")
    for machine_type in ("", "slider"):
        with pytest.raises(
            UserError, match=r"\(additional_training/slider, dev.*train_on"
        ) as error:
            read_dataset(tmp_path, machine_type=machine_type)
        assert "several machine types" not in str(error.value)


def test_one_of_several_machine_types_must_be_named(tmp_path):
    make_machine_type(tmp_path / "fan")
    make_machine_type(tmp_path / "slider")
    with pytest.raises(UserError, match=rf"\(fan, slider\); name one: {tmp_path}/slider"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path / "fan").machine_type == "fan"


def test_anomalous_training_clips_are_refused(tmp_path):
    anomalous = [f"anomaly_id_00_{number:08d}.wav" for number in range(30)]
    make_machine_type(tmp_path / "slider", train=TRAIN + anomalous)
    with pytest.raises(UserError, match=r"30 anomalous clips \(anomaly_id_00_00000000") as caught:
        read_dataset(tmp_path)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_an_id_that_is_only_tested_is_refused(tmp_path):
    make_machine_type(tmp_path / "slider", test=[*TEST, "normal_id_04_00000000.wav"])
    with pytest.raises(UserError, match=r"slider/test: no training clip is of id_04"):
        read_dataset(tmp_path)


def test_all_foreign_names_are_reported_at_once(tmp_path):
    make_machine_type(tmp_path / "slider", train=[*TRAIN, "a.wav"], test=["b.flac"])
    with pytest.raises(UserError, match=r"2 file names .*a\.wav.*b\.flac.*expected normal_id"):
        read_dataset(tmp_path)
