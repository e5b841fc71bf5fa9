import jax
import numpy as np

from flowasd.features.frontend import Standardisation
from flowasd.training.bank import BatchSource, make_bank
from flowasd.training.parallel import data_mesh
from tests.training.conftest import save_features

# Machine index and number of frames of every clip; the last one is shorter than a patch.
MACHINE = np.array([0, 1, 0, 1, 2, 2], np.int32)
LENGTHS = np.array([40, 40, 40, 20, 20, 5])


def traceable_bank(folder, batch_size):
    """A bank in which each value tells its clip and frame, so that a patch can be traced back."""
    clips = [np.repeat(1000 * i + np.arange(n)[:, None], 4, 1) for i, n in enumerate(LENGTHS)]
    identity = Standardisation(np.zeros(4, np.float32), np.ones(4, np.float32))
    features = save_features(folder, clips)
    return make_bank(features, MACHINE, identity, data_mesh(), batch_size, 8)


def test_drawn_patches_are_slices_of_their_own_machines_clips(tmp_path, key):
    made = traceable_bank(tmp_path, 2000)
    patches, machines = jax.jit(lambda bank, key: bank.draw(key))(made, key)
    assert patches.shape == (2000, 8, 4, 1)
    clip, frame = np.divmod(np.asarray(patches)[..., 0, 0].astype(int), 1000)
    assert (clip == clip[:, :1]).all()
    np.testing.assert_array_equal(MACHINE[clip[:, 0]], machines)
    start = frame[:, :1]
    np.testing.assert_array_equal(frame, (start + np.arange(8)) % LENGTHS[clip])
    # Every clip and every admissible offset is drawn, none beyond the clip's end.
    assert set(clip[:, 0]) == set(range(6))
    for c, n_frames in enumerate(LENGTHS):
        assert set(frame[clip[:, 0] == c, 0]) == set(range(max(n_frames - 8, 0) + 1))


def test_frames_are_standardised(tmp_path, key):
    rng = np.random.default_rng(0)
    clip = rng.normal(size=(8, 4)).astype(np.float32)  # as long as a patch, so always drawn whole
    mean, std = rng.uniform(1, 9, size=(2, 4)).astype(np.float32)
    features = save_features(tmp_path, [clip])
    bank = make_bank(features, MACHINE[:1], Standardisation(mean, std), data_mesh(), 3, 8)
    for patch in bank.draw(key).x[..., 0]:
        np.testing.assert_allclose(patch, (clip - mean) / std, rtol=1e-6)


def test_every_dispatch_draws_what_its_keys_draw(tmp_path, key):
    """Twelve keys in dispatches of four; a rest that fills no dispatch is left out."""
    bank, keys = traceable_bank(tmp_path, 16), jax.random.split(key, 14)
    assert isinstance(bank, BatchSource)
    dispatches = list(bank.feed(keys, 4, data_mesh()))
    drawn = [drawable.draw(one) for drawable, by in dispatches for one in by]
    assert [len(by) for _, by in dispatches] == [4, 4, 4]
    for batch, own_key in zip(drawn, keys, strict=False):
        jax.tree.map(np.testing.assert_array_equal, batch, bank.draw(own_key))
    assert not np.array_equal(drawn[0].x, drawn[1].x)
