# pyright: reportMissingImports=false
"""The peer's side of scoring from files: soundfile, torch.stft and normflows' Glow."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import torch
from jaxtyping import Float

from experiments.speed.flow_normflows import make_flow
from experiments.speed.flow_peers import laid_out
from experiments.speed.logmel_torch import make_log_mel
from experiments.speed.side import Tasks, threads
from flowasd.band_detector import CLIPS_AT_ONCE
from flowasd.data.layouts import parse_clip
from flowasd.detector import Detector
from flowasd.features.patches import covering_patches


def score_tasks(workdir: str, paths: list[str]) -> Tasks:
    """`score`: the mean NLL of every file under its own machine ID.

    Front-end, standardisation, patches and the shape of the flow are those of a detector; the
    flow's parameters make no difference to its speed. As many threads as there are cores decode
    the files of a batch before it is computed; meanwhile they would take the cores from PyTorch's
    own threads, which are as many. The files must be of one length.

    Args:
        workdir: Folder of the detector's run.
        paths: The files.
    """
    torch.manual_seed(0)
    torch.set_num_threads(threads())
    detector = Detector.load(Path(workdir))
    config, known = detector.config, detector.machine_ids
    ids = (parse_clip(Path(path), config.data.layout).machine_id for path in paths)
    machine = torch.tensor([known.index(machine_id) for machine_id in ids])
    mean, std = map(torch.from_numpy, detector.statistics)
    log_mel = make_log_mel(config.frontend)
    flow = make_flow(config, len(known))

    def nll(samples: list[np.ndarray], machine: torch.Tensor) -> torch.Tensor:
        """Mean NLL of every clip in nats per dimension."""
        frames = (log_mel(torch.from_numpy(np.stack(samples))) - mean) / std
        count = np.full(len(frames), frames.shape[1])
        index, clip = covering_patches(count, config.train.patch_length, config.score.hop)
        patches = frames.flatten(0, 1)[torch.from_numpy(index)]
        log_prob = flow(laid_out(patches, config), machine[torch.from_numpy(clip)])
        return -log_prob.view(len(frames), -1).mean(1) / patches[0].numel()

    @torch.inference_mode()
    def score() -> list[float]:
        scores = []
        with ThreadPoolExecutor(threads()) as pool:
            for first in range(0, len(paths), CLIPS_AT_ONCE):
                some = slice(first, first + CLIPS_AT_ONCE)
                scores += nll([*pool.map(_decode, paths[some])], machine[some]).tolist()
        return scores

    return {"score": score}


def _decode(path: str) -> Float[np.ndarray, " samples"]:
    return soundfile.read(path, dtype="float32")[0]
