# pyright: reportMissingImports=false
"""Log-mel by torch.stft."""

import numpy as np
import torch
from jaxtyping import Float

from experiments.speed.logmel_ours import tasks_of
from experiments.speed.side import Tasks, threads
from flowasd.features.frontend import POWER_FLOOR, FrontendConfig, mel_filterbank


def log_mel_tasks(n_fft: int, hop_length: int, clips: int, output: str) -> Tasks:
    """All clips in one call; window and filters lie ready."""
    torch.set_num_threads(threads())
    frontend = FrontendConfig(n_fft=n_fft, hop_length=hop_length)
    filters = torch.from_numpy(mel_filterbank(frontend)).T
    window = torch.hann_window(n_fft)

    @torch.inference_mode()
    def log_mels(samples: Float[np.ndarray, "clip samples"]) -> np.ndarray:
        spectrum = torch.stft(
            torch.from_numpy(samples),
            n_fft,
            hop_length,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        return 10 * (filters @ power).clamp_min(POWER_FLOOR).log10().mT.numpy()

    return tasks_of(log_mels, clips, output)
