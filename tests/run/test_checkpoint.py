"""Which checkpoints a run keeps."""

from contextlib import closing

import numpy as np

from flowasd.run.checkpoint import Checkpoints


def test_best_checkpoint_is_kept_beside_the_last(tmp_path):
    """Validation that only gets worse: the first checkpoint must survive."""
    card = {"data": "real", "config": {}, "machine_ids": ["id_00"], "std": [1.0], "start": ""}
    with closing(Checkpoints(tmp_path, create=True)) as checkpoints:
        for step in range(4):
            tree = {"step": np.array([step])}
            checkpoints.save(step, tree, tree, card | {"mean": [step]}, validation_nll=float(step))
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [0, 3]
    with closing(Checkpoints(tmp_path)) as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (0, 3)
        assert checkpoints.card(0) == card | {"mean": [0]}
        restored = checkpoints.restore(0, "model", {"step": np.array([9])})
    np.testing.assert_array_equal(restored["step"], [0])
