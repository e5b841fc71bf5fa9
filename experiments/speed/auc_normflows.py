# pyright: reportMissingImports=false
"""normflows' side of the race to an AUC: its `image` Glow on the same patches."""

import itertools

import jax
import numpy as np
import torch

from experiments.speed.auc_ours import open_fold
from experiments.speed.flow_normflows import make_flow
from experiments.speed.shapes import shape_config
from experiments.speed.side import Tasks, threads
from flowasd.features.patches import covering_patches
from flowasd.training.bank import Batch, BatchSource
from flowasd.training.step import step_keys, with_noise

UPDATES = 50  # between two looks at the AUC
HOP = 2  # frames between the patches of a test clip


def race_tasks(data: str) -> Tasks:
    """`train`: some updates; `auc`: the AUC after them; it never ends by itself.

    Patches and noise are drawn as ours are. normflows has no density of a frame, and a clip has
    few patches, so its AUC is by the better of `mean` and `std` over them.
    """
    torch.manual_seed(0)
    torch.set_num_threads(threads())
    fold = open_fold(shape_config("mel", {"data.root": data}))
    config = shape_config("image")
    flow = make_flow(config, len(fold.source.machine_ids))
    optimizer = torch.optim.Adam(flow.parameters(), config.train.learning_rate, fused=True)
    source = fold.data.train
    dimensions = config.train.patch_length * config.frontend.n_bands
    steps, noise = itertools.count(), fold.config.train.noise
    assert noise is not None

    @jax.jit
    def draw(source: BatchSource, step: int) -> Batch:
        patch_key, noise_key = step_keys(jax.random.key(0), step)
        x, machine = source.draw(patch_key)
        return Batch(with_noise(x, noise_key, noise), machine)

    def train() -> None:
        for _ in range(UPDATES):
            drawn = draw(source, next(steps))
            x, machine = (torch.from_numpy(np.array(array)) for array in drawn)
            optimizer.zero_grad()
            loss = -flow(x.permute(0, 3, 1, 2), machine.long()).mean() / dimensions
            loss.backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), config.train.clip_norm)
            optimizer.step()

    n_frames = np.array([len(clip) for clip in fold.test])
    index, clip = covering_patches(n_frames, config.train.patch_length, HOP)
    frames = torch.from_numpy(np.concatenate(fold.test))
    machine = torch.from_numpy(fold.source.machine_index("test")[clip]).long()

    @torch.inference_mode()
    def auc() -> float:
        batches = zip(torch.from_numpy(index).split(128), machine.split(128), strict=True)
        nll = torch.cat([-flow(frames[some][:, None], ids) for some, ids in batches]).numpy()
        return fold.auc(np.split(nll, np.flatnonzero(np.diff(clip)) + 1), "mean", "std")

    return {"train": train, "auc": auc, "ended": lambda: False}
