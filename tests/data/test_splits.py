import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowasd.data.clips import Clip
from flowasd.data.splits import hash_fraction, split_clips
from flowasd.errors import UserError

IDS = ("id_00", "id_02", "id_04")


def make_clips(numbers, ids=IDS, folder="train") -> list[Clip]:
    return [
        Clip(Path(folder, f"normal_{machine_id}_{number:08d}.wav"), machine_id, 0)
        for machine_id in ids
        for number in numbers
    ]


@given(name=st.text(), seed=st.integers())
def test_hash_fraction_is_the_leading_bits_of_sha256(name, seed):
    digest = hashlib.sha256(f"{seed}/".encode() + name.encode()).hexdigest()
    fraction = hash_fraction(name, seed)
    assert 0 <= fraction < 1
    assert fraction == pytest.approx(int(digest, 16) / 16**64, abs=2**-53)


def test_hash_fraction_is_uniform_and_depends_on_the_seed():
    first, second = (
        np.array([hash_fraction(clip.name, seed) for clip in make_clips(range(2000))])
        for seed in (0, 1)
    )
    # Kolmogorov-Smirnov distance to the uniform distribution, and its 1 % critical value.
    distance = np.abs(np.sort(first) - np.arange(first.size) / first.size).max()
    assert distance < 1.63 / np.sqrt(first.size)
    assert abs(np.corrcoef(first, second)[0, 1]) < 3 / np.sqrt(first.size)


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.0), (0.2, 0.3)])
def test_every_id_gives_its_fractions(validation, test):
    clips = make_clips(range(1000))
    split = split_clips(clips, 0, validation, test)
    for name, fraction in {"validation": validation, "test": test}.items():
        for machine_id in IDS:
            count = sum(clip.machine_id == machine_id for clip in split.get(name, ()))
            assert abs(count - 1000 * fraction) <= 4 * np.sqrt(1000 * fraction * (1 - fraction))


@given(seed=st.integers(0, 2**32), test=st.sampled_from([0.0, 0.3]))
def test_the_parts_make_up_the_whole_in_order(seed, test):
    clips = make_clips(range(40))
    split = split_clips(clips, seed, 0.3, test)
    assert list(split) == ["train", "validation", "test"][: 3 if test else 2]
    assert sorted((clip for part in split.values() for clip in part), key=clips.index) == clips
    for part in split.values():
        assert list(part) == sorted(part, key=clips.index)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 12))
def test_clips_that_calibrate_are_those_with_the_lowest_hashes_of_every_id(seed, count):
    clips = make_clips(range(60))
    without, split = (split_clips(clips, seed, 0.1, 0.1, calibrated) for calibrated in (0, count))
    assert "calibration" not in without
    assert (split["validation"], split["test"]) == (without["validation"], without["test"])
    for machine_id in IDS:
        train = [clip for clip in without["train"] if clip.machine_id == machine_id]
        train.sort(key=lambda clip: hash_fraction(clip.name, seed))
        held_out = {c for c in split.get("calibration", ()) if c.machine_id == machine_id}
        assert held_out in (set(), set(train[:count]))
        assert not held_out & set(split["train"])


def test_too_few_clips_of_one_id_leave_all_clips_to_training():
    counts = {"id_00": 200, "id_02": 200, "id_04": 40}
    clips = [clip for own, count in counts.items() for clip in make_clips(range(count), (own,))]
    assert "calibration" not in split_clips(clips, 0, 0.05, calibration=10)
    split = split_clips(clips, 0, 0.05, calibration=8)
    assert [sum(c.machine_id == m for c in split["calibration"]) for m in counts] == [8, 8, 8]


@given(seed=st.integers(0, 2**32), more=st.sets(st.integers(100, 10**7), max_size=30))
def test_new_files_move_no_old_one(seed, more):
    few = make_clips(range(100))  # enough that every part has clips of every ID by their hashes
    before = split_clips(few, seed, 0.2, 0.2)
    after = split_clips(make_clips(sorted(more)) + few, seed, 0.2, 0.2)
    for name, part in before.items():
        assert set(part) == set(after[name]) & set(few)


def test_the_folder_does_not_matter():
    here, there = (
        split_clips(make_clips(range(40), folder=folder), 3, 0.25) for folder in ("a", "b")
    )
    for part in here:
        assert [clip.name for clip in here[part]] == [clip.name for clip in there[part]]


@given(seed=st.integers(0, 2**32))
def test_a_lone_clip_is_trained_on(seed):
    lone = make_clips([7], ids=["id_06"])
    assert set(lone) <= set(split_clips(make_clips(range(40)) + lone, seed, 0.5)["train"])


@pytest.mark.parametrize(
    ("validation", "test"), [(0.0, 0.1), (-0.1, 0.0), (0.1, -0.1), (1.0, 0.0), (0.5, 0.5)]
)
def test_silly_fractions_are_refused(validation, test):
    with pytest.raises(UserError, match="cannot be held out"):
        split_clips(make_clips(range(40)), 0, validation, test)


@given(seed=st.integers(0, 2**32))
def test_an_id_of_few_clips_has_some_in_every_part(seed):
    """Four clips of each ID, of which fractions of 1 % would seldom hold any out.

    For one seed in a million, a part has so many by their hashes that one is left to train on.
    """
    split = split_clips(make_clips(range(4)), seed, 0.01, 0.01)
    trained = [clip.machine_id for clip in split["train"]]
    for part in split.values():
        ids = {clip.machine_id for clip in part}
        assert all(machine_id in ids or trained.count(machine_id) == 1 for machine_id in IDS)


def test_an_empty_validation_split_is_refused():
    with pytest.raises(UserError, match="validation split of 3 clips is empty"):
        split_clips(make_clips([0]), 0, 0.5)
    with pytest.raises(UserError, match="is empty"):
        split_clips([], 0, 0.5)
