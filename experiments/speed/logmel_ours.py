"""Our side of the comparison of log-mels, and what its peers share with it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from experiments.speed.side import Tasks
from flowasd.features.compute import CLIPS_PER_BATCH
from flowasd.features.frontend import FrontendConfig, bands

SECONDS = 10

LogMels = Callable[[Float[np.ndarray, "clip samples"]], Float[np.ndarray, "clip time mel"]]


def log_mel_tasks(n_fft: int, hop_length: int, clips: int, output: str) -> Tasks:
    """Log-mels by `flowasd.features.frontend.bands`."""
    frontend = FrontendConfig(n_fft=n_fft, hop_length=hop_length)
    return tasks_of(lambda samples: log_mels_of(samples, frontend), clips, output)


def log_mels_of(
    samples: Float[np.ndarray, "clip samples"], frontend: FrontendConfig
) -> Float[np.ndarray, "clip time mel"]:
    """Log-mels from numpy to numpy, in batches of the size that scoring and training have."""
    batches = np.split(samples, range(CLIPS_PER_BATCH, len(samples), CLIPS_PER_BATCH))
    lengths = [np.full(len(batch), batch.shape[1], np.int32) for batch in batches]
    return np.concatenate([bands(*of, frontend) for of in zip(batches, lengths, strict=True)])


def tasks_of(log_mels: LogMels, clips: int, output: str) -> Tasks:
    """The tasks of one side: `log_mels` of some noise, and writing them to a file.

    Args:
        log_mels: What is measured.
        clips: Number of clips of noise.
        output: The npy file that takes its result.
    """
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.standard_normal((clips, SECONDS * FrontendConfig().sample_rate), np.float32)
    return {
        "log_mels": lambda: log_mels(samples) is None,
        "write": lambda: np.save(Path(output), log_mels(samples)),
    }
