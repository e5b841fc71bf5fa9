# pyright: reportMissingImports=false
"""Log-mel by torch.stft."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from experiments.speed.logmel_ours import tasks_of
from experiments.speed.side import Tasks, threads
from flowasd.features.frontend import POWER_FLOOR, FrontendConfig, mel_filterbank

CLIPS_PER_CALL = 8  # faster than 1, 4, 32 or all


def log_mel_tasks(n_fft: int, hop_length: int, clips: int, output: str) -> Tasks:
    """Log-mels from NumPy to NumPy."""
    torch.set_num_threads(threads())
    log_mel = make_log_mel(FrontendConfig(n_fft=n_fft, hop_length=hop_length))

    @torch.inference_mode()
    def log_mels(samples: Float[np.ndarray, "clip samples"]) -> np.ndarray:
        return log_mel(torch.from_numpy(samples)).numpy()

    return tasks_of(log_mels, clips, output)


def make_log_mel(frontend: FrontendConfig) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from samples `(clip, samples)` to log-mels `(clip, time, mel)` in dB.

    Window and filters lie ready.
    """
    filters = torch.from_numpy(mel_filterbank(frontend)).T
    window = torch.hann_window(frontend.n_fft)

    def of_some(samples: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            samples,
            frontend.n_fft,
            frontend.hop_length,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        return 10 * (filters @ power).clamp_min(POWER_FLOOR).log10().mT

    return lambda samples: torch.cat([of_some(some) for some in samples.split(CLIPS_PER_CALL)])
