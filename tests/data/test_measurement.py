"""What is measured of a recording, against NumPy and what training computes."""

import numpy as np
import pytest
import soundfile

from flowasd.data.audio import read_audio
from flowasd.data.measurement import EDGES, WINDOW, measure, spectrum
from flowasd.features.cache import cached_features
from flowasd.features.frontend import FrontendConfig
from tests.data.faulty import RATE, noise


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_recording_is_measured_as_training_hears_it(rate, channels, tmp_path):
    path = tmp_path / "a.wav"
    samples = np.stack([noise(i, rate) + 0.01 * i for i in range(channels)], 1)
    soundfile.write(path, samples, rate, "FLOAT")
    last = channels - 1
    own = measure(path, channel=last)
    assert (own.rate, own.channels, own.seconds) == (rate, channels, 1)
    deviation = samples[:, last].std()
    assert own.level == pytest.approx(20 * np.log10(deviation), abs=0.01)
    assert own.offset == pytest.approx(abs(samples[:, last].mean()) / deviation, abs=0.001)
    frontend = FrontendConfig(n_bands=8)
    if not last:
        assert cached_features([path], frontend, tmp_path).recordings == (own.recording,)
    assert frontend.n_fft == WINDOW


def test_the_spectrum_has_the_power_of_the_samples(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0), RATE, "FLOAT")
    np.testing.assert_allclose(spectrum(read_audio(path)), 20 * np.log10(0.05), atol=1)
    tone = np.sin(2 * np.pi * 3100 * np.arange(RATE) / RATE).astype(np.float32)
    bands = spectrum(tone)
    assert EDGES[bands.argmax()] <= 3100 < EDGES[bands.argmax() + 1]
    power = 10 ** (bands / 10)
    assert power.sum() / len(power) == pytest.approx(0.5, rel=0.05)


def test_only_runs_at_the_peak_are_clipping(tmp_path):
    samples = np.clip(noise(0), -0.2, 0.1)
    soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    stored, _ = soundfile.read(tmp_path / "a.wav")
    at = np.concatenate([[0], stored == stored.max(), [0]])
    ends = np.flatnonzero(np.diff(at)).reshape(-1, 2)
    lengths = np.diff(ends, axis=1)
    expected = lengths[lengths >= 3].sum() / len(samples)
    assert measure(tmp_path / "a.wav").clipped == pytest.approx(expected)
    tone = 0.9 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone, RATE)
    assert measure(tmp_path / "tone.wav").clipped == 0
