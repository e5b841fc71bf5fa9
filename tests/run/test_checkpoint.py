"""Which checkpoints a run keeps."""

from contextlib import closing

import numpy as np

from flowasd.run.checkpoint import Checkpoints


def test_best_checkpoint_is_kept_beside_the_last(tmp_path):
    """Validation that only gets worse: the first checkpoint must survive."""
    card = {"data": "real", "config": {}, "machine_ids": ["id_00"], "std": [1.0]}
    with closing(Checkpoints(tmp_path, create=True)) as checkpoints:
        for step in range(1, 5):
            tree = {"step": np.array([step])}
            checkpoints.save(step, tree, tree, card | {"mean": [step]}, validation_nll=float(step))
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [1, 4]
    with closing(Checkpoints(tmp_path)) as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (1, 4)
        assert checkpoints.card(1) == card | {"mean": [1]}
        restored = checkpoints.restore(1, "model", {"step": np.array([0])})
    np.testing.assert_array_equal(restored["step"], [1])
