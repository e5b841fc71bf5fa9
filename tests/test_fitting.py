"""Training from Python."""

import json

import numpy as np
import pytest
import soundfile

import flowasd
from flowasd.config import parse, pooled_config
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.training.train import train
from tests.test_main import assert_refused
from tests.test_main import flowasd as command

pytestmark = pytest.mark.slow

N_CLIPS = 12


def quick(**data):
    config = pooled_config()
    config.train.update(steps=4, warmup_steps=1, log_every=2, eval_every=2)
    config.data.update(data)
    return config


@pytest.fixture(scope="module")
def noise():
    return (np.random.default_rng(0).normal(size=(N_CLIPS, 16000)) / 10).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(noise, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("fitted") / "run"
    return flowasd.fit(noise, config=quick(), workdir=workdir)


def write(folder, noise, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in zip(names, noise, strict=True):
        soundfile.write(folder / name, samples, 16000, "FLOAT")
    return folder


def test_waveforms_are_of_one_machine(fitted, noise, tmp_path):
    assert fitted.known_ids == ["machine"]
    assert fitted.kind == "real"
    assert fitted.normal_clips["machine"] > 0
    # No ID need be named, of files with any name either.
    (path,) = write(tmp_path / "clips", noise[:1], ["pump.wav"]).iterdir()
    assert (fitted.score([path]) == fitted.score(noise[:1])).all()
    result = command("score", fitted.workdir, path)
    assert result.status == 0
    assert float(result.stdout.splitlines()[1].split(",")[2]) == fitted.score(noise[:1])[0]


def test_the_recordings_of_such_a_run_are_not_looked_for(fitted):
    assert_refused(command("evaluate", fitted.workdir), "given to flowasd.fit")


def test_files_with_ids_train_as_the_command_does(noise, tmp_path):
    """The same weights, if nothing is held out for testing: the names decide the split."""
    names = [f"normal_id_0{2 * (i % 2)}_{i:08d}.wav" for i in range(N_CLIPS)]
    folder = write(tmp_path / "data" / "slider" / "train", noise, names)
    write(tmp_path / "data" / "slider" / "test", noise[:1] * 0.5, [names[0]])
    detector = flowasd.fit(folder, config=quick())
    assert detector.known_ids == ["id_00", "id_02"]
    train(parse(quick(root=str(tmp_path / "data"))), tmp_path / "run")
    calibrate_run(tmp_path / "run")
    expected = Detector.load(tmp_path / "run")
    assert (detector.score(folder) == expected.score(folder)).all()
    assert (detector.decide(folder).p_values == expected.decide(folder).p_values).all()
    # The temporary run can be kept, and goes with the detector.
    kept, temporary = tmp_path / "kept", detector.workdir
    assert temporary is not None
    detector.save(kept)
    assert json.loads((kept / "splits.json").read_text())["data"] == "real"
    scores = detector.score(folder)
    del detector
    assert not temporary.exists()
    assert (Detector.load(kept).score(folder) == scores).all()


def test_what_cannot_be_trained_on_is_refused(noise, tmp_path):
    folder = write(tmp_path / "a", noise[:2], ["normal_id_00_00000000.wav", "pump.wav"])
    with pytest.raises(UserError, match=r"pump\.wav.*machine_ids"):
        flowasd.fit(folder)
    folder = write(tmp_path / "b", noise[:1], ["anomaly_id_00_00000000.wav"])
    with pytest.raises(UserError, match="only normal recordings"):
        flowasd.fit(folder)
    with pytest.raises(UserError, match="12 recordings and 1 machine_ids"):
        flowasd.fit(noise, ["a"])
    with pytest.raises(UserError, match="split of 1 clips is empty"):
        flowasd.fit(noise[:1])
    with pytest.raises(UserError, match="same recording"):
        flowasd.fit(np.stack([noise[0]] * N_CLIPS), workdir=tmp_path / "run")


def test_a_manifest_and_a_folder_tell_the_ids_of_any_names(noise, tmp_path):
    names = [f"{('left', 'right')[i % 2]} {i}.wav" for i in range(N_CLIPS)]
    for name, samples in zip(names, noise, strict=True):
        write(tmp_path / "motor" / name.split()[0], [samples], [name])
    rows = [f"motor/{name.split()[0]}/{name},{name.split()[0]}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["path,machine_id", *rows]))
    by_folder = flowasd.fit(tmp_path / "motor", config=quick(layout="folder"))
    by_list = flowasd.fit(tmp_path / "list.csv", config=quick())
    for detector in (by_folder, by_list):
        assert detector.known_ids == ["left", "right"]
    assert (by_folder.score(noise, "left") == by_list.score(noise, "left")).all()
