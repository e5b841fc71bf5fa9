"""What the check of a data set names, against planted faults and against what training does."""

import json
import warnings
from dataclasses import replace

import pytest
import soundfile

from flowasd.config import default_config, parse
from flowasd.data.check import check_root
from flowasd.data.source import DataConfig, open_source
from flowasd.errors import UserError
from flowasd.features.cache import source_features
from flowasd.features.frontend import FrontendConfig
from flowasd.run.splits import splits_of
from tests.commands import command
from tests.conftest import REPO
from tests.data.faulty import FAULTS, N_TEST, N_TRAIN, RATE, all_faults, narrow, noise, sound

PAGE = (REPO / "docs" / "check.md").read_text()


def check(*arguments):
    return command("flowasd.data.check", *arguments)


def checked(folder, **changes):
    """The sections of a folder."""
    return list(check_root(DataConfig(root=str(folder), **changes)))


def refused(folder, cache, **changes):
    """Whether training with the default settings refuses a data set."""
    config = parse(default_config())
    data = replace(config.data, root=str(folder), cache=str(cache), **changes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of test clips that are left out
            source, features = source_features(
                open_source(data, config.seed), FrontendConfig(n_bands=8), data
            )
        splits_of(source, features)
    except UserError:
        return True
    return False


def test_a_sound_data_set(tmp_path):
    (section,) = checked(sound(tmp_path / "rail"))
    assert section.findings == []
    assert section.layout == "dcase2020"
    (row,) = section.rows
    assert (row.machine_id, row.domain) == ("id_00", None)
    assert row.counts == {"train": N_TRAIN, "normal": 2, "anomaly": 2, "unlabelled": 0}
    assert (row.seconds, row.rates, row.channels) == ([1, 1], [RATE], [1])
    assert section.hours == pytest.approx((N_TRAIN + N_TEST) / 3600)
    assert not refused(tmp_path / "rail", tmp_path / "cache")


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_is_named_and_nothing_else(name, tmp_path):
    kind, refuses, plant, words = FAULTS[name]
    before = {*sound(tmp_path / "rail").rglob("*.*")}
    plant(tmp_path / "rail")
    (planted,) = {*(tmp_path / "rail").rglob("*.*")} - before
    ((finding,),) = (section.findings for section in checked(tmp_path))
    assert (finding.kind, finding.refused) == (kind, refuses)
    assert words in finding.text
    assert planted in finding.paths if kind != "split" else finding.paths == ()
    assert refused(tmp_path / "rail", tmp_path / "cache") == refuses


def test_all_clips_of_a_lower_rate_are_one_finding(tmp_path):
    (section,) = checked(narrow(tmp_path / "rail"))
    (finding,) = section.findings
    assert (finding.kind, finding.refused) == ("bands", False)
    assert "from 4 to 8 kHz" in finding.text


def test_half_of_the_clips_of_a_lower_rate_are_named(tmp_path):
    """The median of the clips is then one of the others."""
    folder = sound(tmp_path / "rail")
    lower = {*narrow(tmp_path / "narrow").glob("train/*.wav")}
    for i, path in enumerate(lower):
        path.rename(folder / "train" / f"normal_id_00_{500 + i:08d}.wav")
    (section,) = checked(folder)
    named = {path.name for finding in section.findings for path in finding.paths}
    assert {finding.kind for finding in section.findings} == {"highs"}
    assert named == {f"normal_id_00_{500 + i:08d}.wav" for i in range(N_TRAIN)}


def test_every_fault_at_once_is_named_all_the_same(tmp_path):
    all_faults(tmp_path / "rail")
    result = check(tmp_path, "--json")
    assert (result.status, result.stderr) == (1, "")
    (machine_type,) = json.loads(result.stdout)["machine_types"]
    assert machine_type["refused"]
    found = sorted((own["kind"], own["refused"]) for own in machine_type["findings"])
    assert found == sorted((kind, refuses) for kind, refuses, *_ in FAULTS.values())
    assert all(words in result.stdout for *_, words in FAULTS.values())
    (row,) = [row for row in machine_type["rows"] if row["machine_id"] == "id_02"]
    assert row["counts"] == {"train": 0, "normal": 1, "anomaly": 0, "unlabelled": 0}


def test_training_clips_that_training_itself_would_part(tmp_path):
    """A pair of training clips is refused where one of them is held out, as training does."""
    folder = sound(tmp_path / "rail")
    for i in range(40):
        samples, _ = soundfile.read(folder / "train" / f"normal_id_00_{i % 5:08d}.wav")
        soundfile.write(folder / "train" / f"normal_id_00_{300 + i:08d}.flac", samples, RATE)
    (section,) = checked(folder)
    assert any(finding.refused for finding in section.findings)
    assert refused(folder, tmp_path / "cache")


JOINED = {"train_on": "development+additional", "test_on": "evaluation"}


@pytest.fixture
def joined(tmp_path):
    """Three folders of a machine type; those to train on have other clips than the other one."""
    sound(tmp_path / "development" / "rail")
    for part, split, seeds in (("additional", "train", [700]), ("evaluation", "test", [800, 801])):
        folder = tmp_path / part / "rail" / split
        folder.mkdir(parents=True)
        for i, seed in enumerate(seeds):
            soundfile.write(folder / f"normal_id_00_{900 + i:08d}.wav", noise(seed), RATE)
    return tmp_path


def test_joined_folders_are_checked_as_training_joins_them(joined, tmp_path):
    """The test clips of development are not used, so that nothing in them is at fault."""
    (joined / "development" / "rail" / "test" / "normal_id_00_00000100.wav").write_bytes(b"no")
    (section,) = checked(joined, **JOINED)
    assert section.machine_type == "rail"
    assert section.findings == []
    counts = {"train": N_TRAIN + 1, "normal": 2, "anomaly": 0, "unlabelled": 0}
    assert [row.counts for row in section.rows] == [counts]
    assert not refused(joined, tmp_path / "cache", **JOINED)
    (row,) = checked(joined, train_on="development+additional")[0].rows
    assert row.counts == {"train": N_TRAIN + 1, "normal": 3, "anomaly": 2, "unlabelled": 0}


def test_a_recording_of_two_joined_folders_names_both(joined, tmp_path):
    rail = "rail/train/normal_id_00_00000900.wav"
    copy = joined / "evaluation" / "rail" / "test" / "normal_id_00_00000950.wav"
    copy.write_bytes((joined / "additional" / rail).read_bytes())
    flags = [f"--config.data.{name}={value}" for name, value in JOINED.items()]
    result = check(joined, *flags)
    assert result.status == 1
    (line,) = [line for line in result.stdout.splitlines() if "duplicate: " in line]
    assert f"{copy} (test of evaluation)" in line
    assert f"{joined}/additional/{rail} (train of additional)" in line
    assert refused(joined, tmp_path / "cache", **JOINED)
    assert check(joined, "--train_on=development", "--test_on=evaluation").status == 0


def test_a_folder_without_the_machine_type_is_refused(joined, tmp_path):
    (joined / "additional" / "rail").rename(joined / "additional" / "fan")
    fan, rail = sorted(checked(joined, **JOINED), key=lambda section: section.machine_type)
    assert (fan.machine_type, rail.machine_type) == ("fan", "rail")
    (finding,) = (own for own in rail.findings if own.kind == "names")
    assert "additional: no machine type rail; there are fan" in finding.text
    assert fan.refused
    assert refused(joined, tmp_path / "cache", **JOINED, machine_type="rail")


def test_folders_of_any_names_are_joined_to_one_machine_type(tmp_path):
    for day, seed in (("monday", 0), ("tuesday", 50)):
        (tmp_path / day).mkdir()
        for i in range(6):
            soundfile.write(tmp_path / day / f"{i}.wav", noise(seed + i), RATE)
    (section,) = checked(tmp_path, layout="folder", train_on="monday+tuesday")
    assert (section.machine_type, section.findings) == (tmp_path.name, [])
    assert section.rows[0].counts["train"] == 12
    joined = {"layout": "folder", "train_on": "monday+tuesday"}
    assert not refused(tmp_path, tmp_path / "cache", **joined)


@pytest.mark.parametrize(
    ("layout", "folder", "names", "wrong"),
    [
        (
            "dcase2021",
            "train",
            [f"section_00_source_train_normal_{i:04d}_vel_300.wav" for i in range(10)],
            "section_0_source.wav",
        ),
        (
            "toyadmos",
            "case1/NormalSound_IND",
            [f"1{i:09d}_ToyCar_case1_normal_IND_ch1_{i:04d}.wav" for i in range(10)],
            "1_ToyCar_case1_broken_IND_ch1_0001.wav",
        ),
    ],
)
def test_other_layouts_go_on_without_what_they_cannot_read(layout, folder, names, wrong, tmp_path):
    place = tmp_path / "ToyCar" / folder
    place.mkdir(parents=True)
    for i, name in enumerate([*names, wrong]):
        soundfile.write(place / name, noise(i), RATE)
    (section,) = checked(tmp_path)
    (finding,) = section.findings
    assert section.layout == layout
    assert (finding.kind, finding.refused, finding.paths) == ("names", True, (place / wrong,))
    assert section.rows[0].counts["train"] == len(names)


def test_every_machine_type_is_checked_in_a_section(tmp_path):
    sound(tmp_path / "fan")
    FAULTS["silent"][2](sound(tmp_path / "rail"))
    sound(tmp_path / "valve")
    for path in (tmp_path / "valve" / "train").iterdir():
        path.unlink()
    (tmp_path / "valve" / "train").rmdir()
    fan, rail, valve = checked(tmp_path)
    assert [own.refused for own in (fan, rail, valve)] == [False, True, True]
    assert "no .wav or .flac clip to train on" in valve.findings[0].text
    assert check(tmp_path, "--machine_type=fan").status == 0
    result = check(tmp_path)
    assert result.status == 1
    assert [line for line in result.stdout.splitlines() if line[0] != " "] == [
        f"{tmp_path}/fan: layout dcase2020, 14 clips, 0.00 hours",
        f"{tmp_path}/rail: layout dcase2020, 15 clips, 0.00 hours",
        f"{tmp_path}/valve: layout dcase2020, 4 clips, 0.00 hours",
    ]


def test_many_findings_of_a_kind_are_counted(tmp_path):
    folder = sound(tmp_path / "rail")
    for i in range(8):
        (folder / "train" / f"normal_id_00_{100 + i:08d}.wav").write_bytes(b"no")
    result = check(folder)
    assert result.stdout.count("unreadable: ") == 6
    assert "unreadable: 3 more, which --json lists" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name one folder"),
        (["a", "b"], "name one folder"),
        (["missing"], "missing: no such folder"),
        (["."], "no train/ in it or below"),
        ([".", "--layout=none"], "<auto|dcase2020|"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = check(*arguments)
    assert result.status == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("flowasd: ")
    assert words in line


def test_the_page_shows_what_the_command_prints(tmp_path, monkeypatch):
    all_faults(tmp_path / "FAULTY")
    monkeypatch.chdir(tmp_path)
    assert check("FAULTY").stdout in PAGE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slider", "dcase2023", "mimii"])
def test_the_page_shows_what_real_recordings_give(name, recordings, tmp_path, monkeypatch):
    (tmp_path / "DATA").symlink_to(recordings)
    monkeypatch.chdir(tmp_path)
    result = check(f"DATA/{name}")
    assert result.status == (0 if name == "dcase2023" else 1)
    assert result.stdout in PAGE
    assert "worth a look" not in result.stdout
