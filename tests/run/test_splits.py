"""What may be judged: a recording is known by its content, whatever its place, name or format."""

import hashlib
import json
from dataclasses import replace as with_changes

import jax
import numpy as np
import pytest
import soundfile

from flowasd.data.clips import Clip
from flowasd.data.source import Source
from flowasd.data.splits import hash_fraction
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.assess import assess
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.features.cache import Features
from flowasd.run.metric_log import read_metrics
from flowasd.run.records import read_record, write_record
from flowasd.run.splits import record_splits, splits_of
from flowasd.run.workdir import read_config, record_config
from flowasd.training.train import train
from tests.conftest import smoke_config, train_to_first_checkpoint
from tests.run.recordings import copy_run, put, put_all, renamed, replace, splits, whole


def source(tmp_path, **names):
    """A source of clips with these names in each split; their content is what their name says."""
    clips = {
        split: tuple(Clip(tmp_path / split / name, "id_00", 0) for name in names.get(split, ()))
        for split in ("train", "validation", "test")
    }
    features = {
        split: Features((), np.zeros(len(own), int), 1, tuple(clip.path.stem for clip in own))
        for split, own in clips.items()
    }
    return Source("slider", simulated=True, labelled=False, splits=clips), features


def begin(workdir):
    (workdir / "checkpoints" / "20").mkdir(parents=True)


def test_splits_are_recorded_with_digest_and_name(tmp_path):
    record_splits(tmp_path, *source(tmp_path, train=["b.wav"], validation=["a.wav"]))
    recorded = json.loads((tmp_path / "splits.json").read_text())
    assert recorded["splits"] == {
        "train": {"b": "train/b.wav"},
        "validation": {"a": "validation/a.wav"},
        "test": {},
    }
    assert recorded["data"] == "SIMULATED"


def test_training_does_not_go_on_with_other_clips(tmp_path):
    before = source(tmp_path, train=["b.wav"], validation=["a.wav"])
    record_splits(tmp_path, *before)
    begin(tmp_path)
    record_splits(tmp_path, *before)
    more = source(tmp_path, train=["b.wav", "c.wav"], validation=["a.wav"])
    with pytest.raises(UserError, match=r"1 of the train split differ, such as train/c\.wav"):
        record_splits(tmp_path, *more)
    swapped = source(tmp_path, train=["b.wav"], validation=["d.wav"])
    with pytest.raises(UserError, match=r"2 of the validation split differ, such as"):
        record_splits(tmp_path, *swapped)
    recorded = json.loads((tmp_path / "splits.json").read_text())["splits"]
    assert recorded["train"] == {"b": "train/b.wav"}


def test_training_does_not_go_on_under_other_machine_ids(tmp_path):
    """Another layout, which may change, reads other IDs from the names of the same recordings."""
    before, features = source(tmp_path, train=["b.wav"], validation=["a.wav"], test=["c.wav"])
    record_splits(tmp_path, before, features)
    begin(tmp_path)
    renamed_clips = {
        split: tuple(with_changes(clip, machine_id="machine") for clip in clips)
        for split, clips in before.splits.items()
    }
    other = before._replace(splits={**before.splits, "train": renamed_clips["train"]})
    with pytest.raises(UserError, match=r"train/b\.wav as id_00, and now it is machine"):
        record_splits(tmp_path, other, features)
    tested = before._replace(splits={**before.splits, "test": renamed_clips["test"]})
    record_splits(tmp_path, tested, features)


def test_a_recording_in_two_splits_is_named_twice(tmp_path):
    with pytest.raises(UserError, match=r"train/x\.wav \(train\) and test/x\.flac \(test\) are"):
        splits_of(*source(tmp_path, train=["x.wav", "y.wav"], test=["x.flac"]))


@pytest.mark.parametrize("how", ["link", "copy", "wav"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_clips_that_a_run_was_trained_with_are_not_evaluated(run, tmp_path, how, split):
    """Four of them, under other names, among another data set's test clips."""
    clips, folder = splits(), tmp_path / "slider" / "test"
    put_all(tmp_path, clips["test"][:4])
    for number, clip in enumerate(clips[split][:4], 500):
        put(clip, folder / renamed(clip, number, "anomaly"), how)
    suffix = "wav" if how == "wav" else "flac"
    words = rf"4 clips belong to the {split} split of the run .*/anomaly_id_0._00000500\.{suffix}; "
    with pytest.raises(UserError, match=words):
        evaluate(run, smoke_config({"data.root": str(tmp_path)}))


@pytest.mark.parametrize("how", ["link", "wav"])
def test_clips_that_a_run_was_trained_on_are_not_assessed_on(run, tmp_path, how):
    """Another data set holds them out, under other names."""
    for number, clip in enumerate(splits()["train"], 500):
        put(clip, tmp_path / "slider" / "train" / renamed(clip, number), how)
    detector = Detector.load(run, smoke_config({"data.root": str(tmp_path)}))
    with pytest.raises(UserError, match=r"\d+ clips belong to the train split of the run in"):
        assess(run, detector)


@pytest.fixture
def moved(run, tmp_path):
    """A copy of the run whose recordings lie elsewhere, and their folder."""
    workdir = copy_run(run, tmp_path / "run")
    root = whole(tmp_path / "data")
    record_config(workdir, smoke_config({"data.root": str(root)}))
    return workdir, root / "slider"


def test_a_calibration_is_not_made_with_clips_that_were_trained_on(moved):
    """One of them lies where a held-out clip was; or the held-out clip is another one."""
    workdir, folder = moved
    (workdir / "calibration.npz").unlink()
    calibrate_run(workdir)
    (workdir / "calibration.npz").unlink()
    clips = splits()
    held_out, trained_on = clips["validation"][0], clips["train"][0]
    replace(folder / "train" / held_out.name, trained_on.path)
    with pytest.raises(UserError, match=rf"{trained_on.name} \(train\) and .*{held_out.name} \(va"):
        calibrate_run(workdir)
    replace(folder / "train" / held_out.name, clips["test"][0].path)
    (folder / "test" / clips["test"][0].name).unlink()
    with pytest.raises(UserError, match="2 of the validation split differ"):
        calibrate_run(workdir)
    assert not (workdir / "calibration.npz").exists()


def test_a_calibration_looks_at_what_the_run_was_trained_on(moved):
    """A record that has a clip in both splits, which no run writes, is not trusted."""
    workdir, _ = moved
    (workdir / "calibration.npz").unlink()
    path = workdir / "splits.json"
    recorded = read_record(path, "")
    recorded["splits"]["train"] |= recorded["splits"]["validation"]
    write_record(path, recorded)
    with pytest.raises(UserError, match=r"splits?\b.*(differ|belong)"):
        calibrate_run(workdir)


def test_clips_replaced_since_training_are_refused(moved):
    """The names are the same, the content of one is not."""
    workdir, folder = moved
    evaluate(workdir)
    clips = splits()
    for split in ("train", "validation"):
        path = folder / "train" / clips[split][0].name
        content = path.read_bytes()
        soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=160000), 16000)
        for action in (evaluate, calibrate_again, lambda w: assess(w, Detector.load(w))):
            with pytest.raises(UserError, match=rf"2 of the {split} split differ, such as train/"):
                action(workdir)
        path.write_bytes(content)


def calibrate_again(workdir):
    path = workdir / "calibration.npz"
    content = path.read_bytes()
    path.unlink()
    try:
        calibrate_run(workdir)
    finally:
        path.write_bytes(content)


def wav(name):
    return name.replace(".flac", ".wav")


@pytest.mark.parametrize(("other", "how"), [("test", "copy"), ("test", "wav"), ("train", "wav")])
def test_a_recording_in_two_splits_is_refused_in_training(tmp_path, other, how):
    """A training clip lies in test/ too, or beside itself where another hash holds it out."""
    root, clips = whole(tmp_path / "data"), splits()
    clip = clips["train"][0]
    names = (renamed(clip, number) for number in range(900, 1000))
    if other == "train":  # a name that is held out
        names = (name for name in names if hash_fraction(wav(name), 0) < 0.1)
    name = next(names)
    put(clip, root / "slider" / other / name, how)
    with pytest.raises(UserError, match=r" are the same recording; remove one") as caught:
        train(smoke_config({"data.root": str(root)}), tmp_path / "run")
    assert clip.name in str(caught.value)
    assert name.split(".")[0] in str(caught.value)
    assert not (tmp_path / "run" / "checkpoints").exists()


def saved_model(workdir):
    detector = Detector.load(workdir)
    return jax.tree.leaves((jax.tree.leaves(detector.flow), detector.statistics))


@pytest.mark.slow
def test_a_run_whose_data_folder_moved_goes_on(run, tmp_path):
    """It ends with the flow of the run that was not cut off, whose recordings it shares."""
    workdir, root = tmp_path / "run", whole(tmp_path / "here")
    train_to_first_checkpoint(smoke_config({"data.root": str(root)}), workdir)
    root = root.rename(tmp_path / "there")
    config = smoke_config({"data.root": str(root)})
    train(config, workdir)
    calibrate_run(workdir)
    for resumed, uninterrupted in zip(saved_model(workdir), saved_model(run), strict=True):
        np.testing.assert_array_equal(resumed, uninterrupted)
    logged = [[without_time(row) for row in read_metrics(folder)] for folder in (workdir, run)]
    assert logged[0] == logged[1]
    assert len(evaluate(workdir).clips) == len(splits()["test"])
    config = with_changes(config, data=with_changes(config.data, root=str(tmp_path / "here")))
    with pytest.raises(UserError, match=r"here: no such folder"):
        evaluate(workdir, config)


def without_time(row):
    return row | {"seconds": 0}


def test_training_does_not_go_on_with_recordings_added_or_replaced(run, tmp_path):
    workdir, root = copy_run(run, tmp_path / "run"), whole(tmp_path / "data")
    config = smoke_config({"data.root": str(root)})
    train(config, workdir)
    clip = splits()["train"][0]
    path = root / "slider" / "train" / clip.name
    replace(path, splits()["test"][0].path)
    (root / "slider" / "test" / splits()["test"][0].name).unlink()
    with pytest.raises(UserError, match=r"2 of the train split differ.*restore the clips"):
        train(config, workdir)
    path.unlink()
    with pytest.raises(UserError, match=rf"1 of the train split differ, such as train/{clip.name}"):
        train(config, workdir)


def test_a_refused_command_leaves_the_run_as_it_was(run, tmp_path):
    """Another data set is refused, and the run goes on with its own."""
    workdir = copy_run(run, tmp_path / "run")
    clips = splits()
    root = put_all(tmp_path / "data", [*clips["train"][1:], *clips["validation"], *clips["test"]])
    before = {name: (workdir / name).read_bytes() for name in ("config.json", "splits.json")}
    with pytest.raises(UserError, match="split differ"):
        train(smoke_config({"data.root": str(root)}), workdir)
    assert {name: (workdir / name).read_bytes() for name in before} == before
    assert read_config(workdir) == smoke_config()


def test_every_clip_of_a_run_is_recorded_once(run):
    """By the digest of its samples."""
    record = json.loads((run / "splits.json").read_text())
    assert record["data"] == "SIMULATED"
    assert record["splits"].keys() == splits().keys() == {"train", "validation", "test"}
    for split, clips in splits().items():
        decoded = [soundfile.read(clip.path, dtype="float32")[0] for clip in clips]
        digests = [hashlib.sha256(samples.tobytes()).hexdigest() for samples in decoded]
        names = [f"{clip.path.parent.name}/{clip.name}" for clip in clips]
        assert record["splits"][split] == dict(zip(digests, names, strict=True))
    digests = [digest for files in record["splits"].values() for digest in files]
    assert len(digests) == len(set(digests)) == 4 * (8 + 3 + 3)
