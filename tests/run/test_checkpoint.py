"""Which checkpoints a run keeps."""

import logging
import resource
import sys
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from flowasd.errors import UserError
from flowasd.run.checkpoint import Checkpoints


def test_best_checkpoint_is_kept_beside_the_last(tmp_path):
    """Gains that only get worse: the first checkpoint must survive."""
    card = {"data": "real", "config": {}, "machine_ids": ["id_00"], "std": [1.0], "start": ""}
    with closing(Checkpoints(tmp_path, create=True)) as checkpoints:
        for step in range(4):
            tree = {"step": np.array([step], np.int32)}
            checkpoints.save(step, tree, tree, card | {"mean": [step]}, gain=-float(step))
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [0, 3]
    with closing(Checkpoints(tmp_path)) as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (0, 3)
        assert checkpoints.card(0).items() >= (card | {"mean": [0]}).items()
        restored = checkpoints.restore(0, "model", {"step": np.array([9], np.int32)})
    np.testing.assert_array_equal(restored["step"], [0])


def test_reads_that_end_after_a_failed_restore_print_nothing(tmp_path, monkeypatch, caplog):
    """By the hook and by the log that report what nobody can catch."""
    said = []
    usual = said.append
    monkeypatch.setattr(sys, "unraisablehook", usual)
    with closing(Checkpoints(tmp_path, create=True)) as checkpoints:
        tree = {"step": np.array([1], np.int32)}
        card = {"data": "real", "config": {}, "machine_ids": [], "mean": [], "std": [], "start": ""}
        checkpoints.save(1, tree, tree, card, gain=0.0)
        checkpoints.restore(1, "model", tree)
        assert sys.unraisablehook is usual
        with pytest.raises(UserError, match="this checkpoint is damaged"):
            checkpoints.restore(1, "model", {"another": np.array([1], np.int32)})
    late, other = (
        SimpleNamespace(exc_value=error, object=None)
        for error in (RuntimeError("Event loop is closed"), RuntimeError("another"))
    )
    for failure in (late, other):
        sys.unraisablehook(failure)  # pyright: ignore[reportArgumentType]
    assert said == [other]
    log = logging.getLogger("asyncio")
    for message in ("a future's exception was never retrieved", "another"):
        log.error(message)
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == ["another"]
    log.filters.clear()
    logging.getLogger("absl").filters.clear()


def test_a_step_that_finds_no_room_is_one_line_and_the_one_before_stays(tmp_path, capfd):
    """The limit on the size of files stands for a full disk: orbax meets both in many threads."""
    rng = np.random.default_rng(0)
    tree = {f"{i}": rng.normal(size=1999).astype(np.float32) for i in range(5)}
    card = {"data": "real", "config": {}, "machine_ids": [], "mean": [], "std": [], "start": ""}
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(Checkpoints(tmp_path, create=True)) as checkpoints:
        checkpoints.save(0, tree, tree, card, gain=0.0)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, usual[1]))
            with pytest.raises(UserError, match=r"checkpoints/1 cannot be written") as caught:
                checkpoints.save(1, tree, tree, card, gain=0.0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err
    with closing(Checkpoints(tmp_path)) as checkpoints:
        np.testing.assert_array_equal(checkpoints.restore(0, "model", tree)["3"], tree["3"])
