"""Log-mel of 32 clips of 10 s beside librosa's and that of a torch.stft front-end."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.speed.side import interleaved, open_sides
from experiments.speed.tables import Row, seconds_row

CLIPS = 32  # of ten seconds
# The front-end of the DCASE baselines, and that of our default config
FRONTENDS = {"logmel": (1024, 512), "logmel_long": (16384, 4096)}
SIDES = {"flowasd": "ours", "librosa": "librosa", "torch": "torch"}


def measure(rounds: int) -> Iterator[Row]:
    """Seconds of every side, and how far the others' output lies from ours at most, in dB."""
    for name, (n_fft, hop_length) in FRONTENDS.items():
        with tempfile.TemporaryDirectory() as folder:
            sides = {}
            for side, module in SIDES.items():
                function = f"experiments.speed.logmel_{module}:log_mel_tasks"
                output = str(Path(folder, f"{side}.npy"))
                sides |= open_sides({side: function}, n_fft, hop_length, CLIPS, output)
            seconds = interleaved(sides, "log_mels", rounds)
            outputs = {}
            for side, process in sides.items():
                process.value("write")
                process.close()
                outputs[side] = np.load(Path(folder, f"{side}.npy"))
        for peer in [side for side in sides if side != "flowasd"]:
            yield seconds_row(f"{name}_vs_{peer}", seconds, peer)
            difference = float(abs(outputs["flowasd"] - outputs[peer]).max())
            yield Row(f"{name}_difference_from_{peer}", difference, "dB")
