"""Every layout, read from a tree of files whose meaning is known."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from flowasd.data.dataset import ID, conditioned, join, machine_types, read_dataset, read_test_clips
from flowasd.data.layouts import AUTO, LAYOUTS, find_layout, parse_clip
from flowasd.data.layouts.dcase2021 import read_attributes
from flowasd.data.source import DataConfig, open_source
from flowasd.errors import UserError
from flowasd.training.train import open_run
from tests.conftest import smoke_config
from tests.data.trees import NAMED, TEST, TRAIN, TREES, make_tree

EDITIONS = {"dcase2021": 2021, "dcase2022": 2022, "dcase2022_evaluation": 2022} | dict.fromkeys(
    ("dcase2024", "dcase2026"), 2022
)


@pytest.mark.parametrize("name", TREES)
def test_every_clip_is_what_its_tree_says(name, tmp_path):
    root, files = make_tree(name, tmp_path)
    dataset = read_dataset(root, name if name in NAMED else AUTO)
    base = root.parent if root.suffix else root
    found = {
        str(clip.path.relative_to(base)): (
            split,
            clip.machine_id,
            clip.label,
            clip.domain,
            clip.attributes,
        )
        for split in ("train", "test")
        for clip in getattr(dataset, split)
    }
    assert found.keys() == {file.path for file in files}
    for path, split, *known in files:
        assert found[path][1:] == tuple(known)
        assert split in ("", found[path][0])
    assert dataset.edition == EDITIONS.get(name, 2020)
    assert dataset.machine_type == ("" if name in ("folder", "manifest") else "slider")


@pytest.mark.parametrize("name", ["mimii", "toyadmos"])
def test_as_many_normal_clips_as_anomalous_ones_are_tested(name, tmp_path):
    dataset = read_dataset(make_tree(name, tmp_path)[0])
    for machine_id in {clip.machine_id for clip in dataset.test}:
        own = [clip for clip in dataset.test if clip.machine_id == machine_id]
        assert (
            [clip.label for clip in own].count(1) == [clip.label for clip in own].count(0) == TEST
        )
        assert sum(clip.machine_id == machine_id for clip in dataset.train) == TRAIN
    assert not any(clip.label for clip in dataset.train)


def test_the_real_files_of_2023_are_read(recordings):
    types = machine_types(recordings / "dcase2023")
    assert types == ["ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve"]
    datasets = {name: read_dataset(recordings / "dcase2023", machine_type=name) for name in types}
    for name, dataset in datasets.items():
        assert (dataset.machine_type, dataset.edition) == (name, 2022)
        assert len(dataset.train) == len(dataset.test) == 2
        assert {clip.machine_id for clip in dataset.train + dataset.test} == {"section_00"}
        assert all(clip.attributes and clip.domain for clip in dataset.train + dataset.test)
    (clip,) = [clip for clip in datasets["valve"].test if clip.label == 1]
    assert (clip.attributes, clip.domain) == ((("pat", "03"),), "target")


def test_the_real_file_of_mimii_is_found_from_above(recordings):
    layout, (folder,) = find_layout(recordings / "mimii", "train")
    (clip,) = LAYOUTS[layout].read(folder).train
    assert (folder.name, clip.machine_id, clip.label) == ("slider", "id_00", 0)


def test_folders_of_signal_to_noise_ratios_are_machine_types(tmp_path):
    for ratio in ("-6_dB_slider", "6_dB_slider"):
        file = tmp_path / ratio / "id_00" / "normal" / "00000000.wav"
        file.parent.mkdir(parents=True)
        file.touch()
    assert machine_types(tmp_path) == ["-6_dB_slider", "6_dB_slider"]


def test_attributes_may_be_bare_stems_and_may_be_missing(tmp_path):
    (tmp_path / "attributes_00.csv").write_text(
        "file_name,d1p,d1v,d2p,d2v\n"
        "slider/train/section_00_source_train_normal_0000_ac_0.08.wav,ac,0.08,loc,A\n"
        "section_03_0000,vel,325,,\n"
        "section_03_0001\n"
        "\n"
    )
    assert read_attributes(tmp_path) == {
        "section_00_source_train_normal_0000_ac_0.08": (("ac", "0.08"), ("loc", "A")),
        "section_03_0000": (("vel", "325"),),
        "section_03_0001": (),
    }
    (tmp_path / "attributes_01.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"attributes_01\.csv: cannot be read as CSV"):
        read_attributes(tmp_path)


def test_supplemental_clips_are_not_read(tmp_path):
    root, files = make_tree("dcase2024", tmp_path)
    (root / "supplemental").mkdir()
    (root / "supplemental" / "section_00_source_train_machine_0000.wav").touch()
    dataset = read_dataset(root)
    assert len(dataset.train + dataset.test) == len(files)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (ID, {"section_00", "section_01"}),
        ("domain", {f"section_0{i}_{d}" for i in (0, 1) for d in ("source", "target")}),
        ("vel", {"section_00_vel_300", "section_01_vel_300"}),
    ],
)
def test_a_config_says_what_the_flow_is_conditioned_on(condition, expected, tmp_path):
    root, _ = make_tree("dcase2022", tmp_path)
    source = open_source(DataConfig(root=str(root), condition=condition), seed=0)
    assert {*source.machine_ids} == expected
    assert {clip.group for clip in source.splits["test"]} == {"section_00", "section_01"}


def test_repeated_attributes_are_joined_in_a_condition():
    name = "section_00_source_train_normal_0000_car_D2_spd_5_mic_2_mic_1.wav"
    assert conditioned(parse_clip(Path(name)), "mic").machine_id == "section_00_mic_2+1"


@pytest.mark.parametrize("condition", ["domain", "vel"])
def test_a_clip_that_lacks_the_condition_is_refused(condition):
    with pytest.raises(UserError, match=rf"nothing tells its {condition}"):
        conditioned(parse_clip(Path("section_00_0005.wav")), condition)


def test_training_folders_are_joined_and_another_is_tested(tmp_path):
    """The recipe of 2020: development and additional clips are trained on, others are scored."""
    development, _ = make_tree("dcase2020", tmp_path / "development")
    additional, _ = make_tree("dcase2020_additional", tmp_path / "both")
    for part, split in (("additional_training", "train"), ("evaluation", "test")):
        (tmp_path / part / "slider").mkdir(parents=True)
        (additional / split).rename(tmp_path / part / "slider" / split)
    config = DataConfig(
        root=str(tmp_path), train_on="development+additional_training", test_on="evaluation"
    )
    source = open_source(config, seed=0)
    assert source.machine_ids == ["id_00", "id_01", "id_02", "id_03"]
    assert not source.labelled
    assert not source.withheld
    assert {clip.machine_id for clip in source.splits["test"]} == {"id_01", "id_03"}
    trained = len(source.splits["train"]) + len(source.splits["validation"])
    assert trained == 4 * TRAIN
    assert len(read_test_clips(tmp_path / "evaluation").test) == 4 * TEST
    assert read_dataset(development).edition == 2020


def test_the_folder_of_a_fault_is_named_and_not_another(tmp_path):
    """The test clips come from another folder than the training clips, which have no test/."""
    for part, name in (("a/train", "left"), ("b/train", "left"), ("b/test/normal", "right")):
        (tmp_path / part / name).mkdir(parents=True)
        (tmp_path / part / name / "0.wav").touch()
    config = DataConfig(root=str(tmp_path), layout="folder", train_on="a", test_on="b")
    with pytest.raises(UserError, match=rf"^{tmp_path}/b/test/normal/right: no training clip is"):
        open_source(config, seed=0)


@pytest.mark.parametrize("train_on", ["a", "a+b"])
def test_the_edition_is_that_of_the_test_clips(train_on, tmp_path):
    """Additional training clips of 2021 do not tell their year; the evaluation set does."""
    root, _ = make_tree("dcase2021", tmp_path / "b")
    for part, names in (("a", ["train"]), ("evaluation", ["source_test", "target_test"])):
        for name in names:
            copytree(root / name, tmp_path / part / "slider" / name)
    named = DataConfig(root=str(tmp_path), train_on=train_on)
    if train_on == "a":
        named = replace(named, test_on="evaluation")
    assert open_source(named, seed=0).edition == 2021


@pytest.mark.parametrize(("name", "inside"), [("mimii", "id_00"), ("toyadmos", "case1")])
def test_nothing_outside_of_the_root_is_read(name, inside, tmp_path):
    root, _ = make_tree(name, tmp_path)
    with pytest.raises(UserError, match=r"no train/ in it or below"):
        read_dataset(root / inside)


def test_a_folder_of_anomalies_is_told_in_any_case(tmp_path):
    for name in ("Normal", "Abnormal"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").touch()
    with pytest.raises(UserError, match=r"1 anomalous clips .* where only normal ones belong"):
        read_dataset(tmp_path, "folder")


def test_different_machine_types_are_not_joined(tmp_path):
    root, _ = make_tree("dcase2020", tmp_path)
    root.rename(tmp_path / "fan")
    other, _ = make_tree("dcase2020", tmp_path)
    with pytest.raises(UserError, match=r"different machine types .*: fan, slider"):
        join([read_dataset(tmp_path / "fan"), read_dataset(other)])


@pytest.mark.parametrize("name", ["folder", "manifest"])
def test_folders_that_name_no_machine_type_are_joined(name, tmp_path):
    """Recordings of two days of the same machines; the root, or the config, says what they are."""
    parts = []
    for day in ("monday", "tuesday"):
        root, files = make_tree(name, tmp_path / day)
        parts.append(str(root.relative_to(tmp_path)))
    config = DataConfig(root=str(tmp_path), layout=name, train_on="+".join(parts))
    source = open_source(config, seed=0)
    assert source.machine_type == tmp_path.name
    assert source.machine_ids == ["left", "right"]
    assert len(source.splits["train"]) + len(source.splits["validation"]) == 2 * 2 * TRAIN
    assert (
        len(source.splits["test"]) == 2 * 2 * 2 * TEST == 2 * sum(f.split == "test" for f in files)
    )
    assert open_source(replace(config, machine_type="rail"), seed=0).machine_type == "rail"


def test_a_file_or_folder_that_names_no_machine_type_gives_its_own_name(tmp_path):
    for name, expected in (("folder", "slider"), ("manifest", "list")):
        root, _ = make_tree(name, tmp_path / name)
        assert open_source(DataConfig(root=str(root), layout=name), seed=0).machine_type == expected
        assert machine_types(root, name) == [expected]


def test_without_a_test_folder_clips_are_withheld(tmp_path):
    root, _ = make_tree("dcase2020_additional", tmp_path)
    for path in (root / "test").iterdir():
        path.unlink()
    assert open_source(DataConfig(root=str(root)), seed=0).withheld
    assert open_source(DataConfig(root=str(root), test=0.0), seed=0).splits["test"] == ()


@pytest.mark.slow
def test_clips_that_are_withheld_are_counted_aloud(tmp_path, capsys):
    root, _ = make_tree("dcase2020_additional", tmp_path, sounding=True)
    for path in (root / "test").iterdir():
        path.unlink()
    config = smoke_config({"data.root": str(root), "data.layout": "auto"})
    open_run(config, tmp_path / "run")
    splits = json.loads((tmp_path / "run" / "splits.json").read_text())["splits"]
    assert f"so {len(splits['test'])} normal clips are tested instead" in capsys.readouterr().err


def test_a_flat_folder_of_any_names_is_one_machine(tmp_path):
    for i in range(3):
        (tmp_path / f"motor_{i}.wav").touch()
    dataset = read_dataset(tmp_path, "folder")
    assert [clip.machine_id for clip in dataset.train] == ["machine"] * 3
    with pytest.raises(UserError, match=r"--config\.data\.layout=.*folder"):
        read_dataset(tmp_path)


def test_names_of_no_layout_lead_to_the_layout_for_any_names(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "motor_3.wav").touch()
    with pytest.raises(UserError, match=r"motor_3\.wav.*--config\.data\.layout=folder takes any"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path, "folder").train) == 1
