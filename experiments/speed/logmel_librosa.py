"""Log-mel by librosa."""

import librosa
import numpy as np
from jaxtyping import Float

from experiments.speed.logmel_ours import tasks_of
from experiments.speed.side import Tasks
from flowasd.features.frontend import POWER_FLOOR, FrontendConfig


def log_mel_tasks(n_fft: int, hop_length: int, clips: int, output: str) -> Tasks:
    """All clips in one call, which is faster than one after the other."""
    frontend = FrontendConfig(n_fft=n_fft, hop_length=hop_length)

    def log_mels(samples: Float[np.ndarray, "clip samples"]) -> np.ndarray:
        power = librosa.feature.melspectrogram(
            y=samples,
            sr=frontend.sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            n_mels=frontend.n_bands,
            pad_mode="constant",
        )
        return librosa.power_to_db(power, amin=POWER_FLOOR, top_db=None).swapaxes(1, 2)

    return tasks_of(log_mels, clips, output)
