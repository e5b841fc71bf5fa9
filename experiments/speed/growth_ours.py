"""The default flow on more and more: larger batches, more clips, a larger data set.

All is simulated noise; there is one machine ID.
"""

import numpy as np

from experiments.speed.flow_ours import noise_bank, noise_start, train_task
from experiments.speed.shapes import shape_config
from experiments.speed.side import Tasks
from flowasd.band_detector import CLIPS_AT_ONCE
from flowasd.flow.glow import make_glow
from flowasd.scoring.frame_nll import frame_nll
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state

FRAMES = 40  # of a clip of ten seconds


def train_tasks(batch: int, clips: int, steps: int) -> Tasks:
    """`train`: one dispatch of so many training steps, by this batch on a bank of so many clips."""
    config = shape_config("mel", {"train.batch_size": batch, "train.log_every": steps})
    bank = noise_bank(config, clips, FRAMES)
    graph, state = initial_state(config, noise_start(config), data_mesh())
    return {"train": train_task(config, bank, graph, state)}


def score_tasks(clips: int) -> Tasks:
    """`score`: frame NLLs of so many clips, as many at a time as `Detector.score` takes."""
    config = shape_config("mel")
    flow = make_glow(config.model, n_bands=config.frontend.n_bands, n_machines=1, seed=0)
    rng = np.random.default_rng(0)

    def score_some(count: int) -> None:
        noise = rng.standard_normal((count, FRAMES, config.frontend.n_bands), np.float32)
        frame_nll(
            flow,
            list(noise),
            length=config.train.patch_length,
            hop=config.score.hop,
            batch_size=config.score.batch_size,
        )

    def score() -> None:
        for first in range(0, clips, CLIPS_AT_ONCE):
            score_some(min(CLIPS_AT_ONCE, clips - first))

    return {"warm_up": lambda: score_some(CLIPS_AT_ONCE), "score": score}
