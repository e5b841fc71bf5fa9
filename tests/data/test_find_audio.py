"""Finding audio files by file, folder and glob, through links."""

import pytest

from flowasd.data.audio import find_audio
from flowasd.errors import UserError

TRAIN = ["normal_id_00_00000000.wav", "normal_id_00_00000001.wav", "normal_id_02_00000000.flac"]
TEST = ["anomaly_id_02_00000000.flac", "normal_id_00_00000000.WAV"]


def make_folders(folder):
    for part, names in {"train": TRAIN, "test": TEST}.items():
        (folder / part).mkdir(parents=True)
        for name in (*names, "README.md", f"._{names[0]}"):
            (folder / part / name).touch()
    return folder


def test_audio_is_found_by_file_folder_and_glob(tmp_path):
    folder = make_folders(tmp_path / "slider")
    train = [folder / "train" / name for name in TRAIN]
    test = [folder / "test" / name for name in TEST]
    assert find_audio([str(train[0])]) == [train[0]]
    assert find_audio([str(folder)]) == sorted(train + test)
    assert find_audio([f"{folder}/train/*"]) == train
    assert find_audio([f"{tmp_path}/**/normal_id_00*"]) == [test[1], *train[:2]]
    assert find_audio([str(folder / "test"), str(test[0]), f"{folder}/t*t"]) == test


def test_audio_is_found_through_linked_folders(tmp_path):
    make_folders(tmp_path / "disk" / "slider")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "data").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert len(find_audio([str(tmp_path / "runs")])) == len(TRAIN + TEST)


def names_found(*patterns):
    return [str(path) for path in find_audio(patterns)]


def test_links_that_lead_back_are_followed_once(tmp_path, monkeypatch):
    """Two links to their own folder would make 2 ** 40 paths of one recording."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all" / "deep").mkdir(parents=True)
    for name in ("all/a.wav", "all/deep/b.flac"):
        (tmp_path / name).touch()
    for name in ("again", "once_more", "deep/up"):
        (tmp_path / "all" / name).symlink_to(tmp_path / "all", target_is_directory=True)
    both = ["all/a.wav", "all/deep/b.flac"]
    assert names_found("all") == both
    assert names_found("**/*.wav", "all/**/*.flac") == both
    assert names_found("**") == names_found("all/**") == names_found("all", "**/up") == both


def test_brackets_in_the_name_of_a_folder_are_no_glob(tmp_path):
    folder = make_folders(tmp_path / "slider[1]")
    assert len(find_audio([str(folder)])) == len(TRAIN + TEST)


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path):
    folder = make_folders(tmp_path / "slider")
    with pytest.raises(UserError, match=r"\*\.mp3: matches no"):
        find_audio([str(folder), f"{folder}/train/*.mp3"])
