import hashlib
import os
import struct
import subprocess
import sys
import wave
from collections.abc import Generator
from typing import cast

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from flowasd.data import audio
from flowasd.data.audio import find_audio, read_audio, read_each
from flowasd.data.opening import NoLength
from flowasd.errors import UserError

RATE = 16000
SIGNAL = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)


def write_pcm(path, samples, width, rate=RATE):
    """Writes integer WAV with the standard library; `samples` is (time,) or (time, channel)."""
    scaled = np.round(samples * 2 ** (8 * width - 1)).astype(np.int64)
    if width == 1:
        scaled += 128  # 8-bit WAV is unsigned
    frames = scaled.astype("<i8").reshape(-1, 1).view(np.uint8)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)
    return path


def assert_refused(path, match):
    with pytest.raises(UserError, match=match) as caught:
        read_audio(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_integer_wav_of_any_width(tmp_path, width):
    samples = read_audio(write_pcm(tmp_path / "a.wav", SIGNAL, width))
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, SIGNAL, atol=0.51 * 2.0 ** (1 - 8 * width) + 1e-7)


def test_float_wav(tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, SIGNAL.astype(np.float32))
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), SIGNAL.astype(np.float32))


def test_flac_is_lossless(tmp_path):
    integers = np.round(SIGNAL * 2**15).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", integers, RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac") * 2**15, integers)


def test_the_first_of_eight_channels_is_taken(tmp_path):
    channels = np.stack([SIGNAL, *np.full((7, len(SIGNAL)), 0.25)], axis=1)
    samples = read_audio(write_pcm(tmp_path / "a.wav", channels, 2))
    np.testing.assert_allclose(samples, SIGNAL, atol=2**-15)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_another_rate_is_resampled(tmp_path, rate):
    seconds = 0.5
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    samples = read_audio(write_pcm(tmp_path / "a.wav", tone, 2, rate))
    assert samples.shape == SIGNAL.shape
    inner = slice(500, -500)  # the resampler rings where the tone is cut off
    np.testing.assert_allclose(samples[inner], SIGNAL[inner], atol=1e-3)


def test_resampling_removes_what_would_alias(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 12000 * np.arange(22050) / 44100)
    samples = read_audio(write_pcm(tmp_path / "a.wav", tone, 2, 44100))
    assert np.abs(samples[500:-500]).max() < 1e-3


def test_the_rate_wanted_is_the_callers_choice(tmp_path):
    path = write_pcm(tmp_path / "a.wav", SIGNAL, 2)
    assert len(read_audio(path, 8000)) == len(SIGNAL) // 2
    np.testing.assert_allclose(read_audio(str(path), RATE), SIGNAL, atol=2**-15)


def test_chunks_beside_the_samples_do_no_harm(tmp_path):
    wav = write_pcm(tmp_path / "a.wav", SIGNAL, 2).read_bytes()
    note = struct.pack("<4sI", b"LIST", 5) + b"hello\0"  # odd length, padded
    tail = struct.pack("<4sI", b"LIST", 400) + b"cut"  # promises more, but holds no samples
    (tmp_path / "b.wav").write_bytes(wav[:12] + note + wav[12:] + tail)
    np.testing.assert_allclose(read_audio(tmp_path / "b.wav"), SIGNAL, atol=2**-15)


def test_a_wav_from_a_pipe_has_no_length_and_is_read(tmp_path):
    wav = write_pcm(tmp_path / "a.wav", SIGNAL, 2).read_bytes()
    (tmp_path / "b.wav").write_bytes(wav[:40] + b"\xff\xff\xff\xff" + wav[44:])
    with pytest.warns(NoLength, match=r"b\.wav: its header tells no length; it is read to its end"):
        samples = read_audio(tmp_path / "b.wav")
    np.testing.assert_allclose(samples, SIGNAL, atol=2**-15)


def test_a_missing_file_is_refused(tmp_path):
    assert_refused(tmp_path / "nowhere.wav", "no such file")


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    assert_refused(tmp_path / ("x" * 300 + ".wav"), "cannot be read")


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    assert_refused(tmp_path / "folder.wav", "no such file")


def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    for path in find_audio([str(tmp_path)]):
        assert_refused(path, "not a regular file")


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.wav", b"line\nbreak.wav", b"-a.wav", b"'\".wav", b"x" * 251 + b".wav"]
)
def test_any_name_is_found_and_read(tmp_path, name):
    path = write_pcm(tmp_path / "a.wav", SIGNAL, 2)
    path = path.rename(tmp_path / os.fsdecode(name))
    assert find_audio([str(tmp_path)]) == [path]
    np.testing.assert_allclose(read_audio(path), SIGNAL, atol=2**-15)


def test_another_suffix_is_refused(tmp_path):
    write_pcm(tmp_path / "a.raw", SIGNAL, 2)
    assert_refused(tmp_path / "a.raw", r"neither \.wav nor \.flac")


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("content", [b"", b"RIFF", b"fLaC", b"This is no sound. " * 99])
def test_what_is_not_audio_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert_refused(path, "cannot be read")


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("missing", [0.5, 0.001])
def test_a_truncated_wav_is_refused(tmp_path, width, missing):
    path = write_pcm(tmp_path / "a.wav", SIGNAL, width)
    wav = path.read_bytes()
    path.write_bytes(wav[: int(len(wav) * (1 - missing))])
    assert_refused(path, "cut short")


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_a_truncated_flac_is_refused(tmp_path, kept):
    path = tmp_path / "a.flac"
    soundfile.write(path, SIGNAL, RATE)
    flac = path.read_bytes()
    path.write_bytes(flac[: int(len(flac) * kept)])
    assert_refused(path, "cannot be read")


def test_a_flac_damaged_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, SIGNAL, RATE)
    flac = bytearray(path.read_bytes())
    flac[len(flac) // 2 : len(flac) // 2 + 500] = bytes(500)
    path.write_bytes(flac)
    assert_refused(path, "cannot be read")


@pytest.mark.parametrize("total", [0, 2**36 - 1])
def test_a_flac_that_promises_no_or_absurdly_many_samples_is_refused(tmp_path, total):
    path = tmp_path / "a.flac"
    soundfile.write(path, SIGNAL, RATE)
    flac = bytearray(path.read_bytes())
    flac[21] = flac[21] & 0xF0 | total >> 32  # 36 bits of STREAMINFO
    flac[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(flac)
    assert_refused(path, "cannot be read")


def test_a_file_without_samples_is_refused(tmp_path):
    assert_refused(write_pcm(tmp_path / "a.wav", SIGNAL[:0], 2), "holds no samples")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, value):
    samples = SIGNAL.astype(np.float32)
    samples[77] = value
    wavfile.write(tmp_path / "a.wav", RATE, samples)
    assert_refused(tmp_path / "a.wav", "NaN or infinite")


def test_read_each_keeps_the_order_and_hands_errors_on(tmp_path):
    paths = [write_pcm(tmp_path / f"{n}.wav", np.full(100 * (n + 1), n / 64), 2) for n in range(30)]
    paths[11].write_bytes(b"")
    read = list(read_each(read_audio, paths))
    assert [path for path, _ in read] == paths
    for n, (path, samples) in enumerate(read):
        if n == 11:
            assert isinstance(samples, UserError)
            assert str(path) in str(samples)
        else:
            np.testing.assert_array_equal(samples, np.full(100 * (n + 1), n / 64))


def test_an_error_that_is_handed_on_keeps_no_samples_alive(tmp_path):
    """Not even by the frames of a traceback, which a batch of results would collect."""
    wavfile.write(tmp_path / "a.wav", RATE, np.full(RATE, np.nan, np.float32))
    ((_, error),) = read_each(read_audio, [tmp_path / "a.wav"])
    assert isinstance(error, UserError)
    assert "NaN" in str(error)
    assert (error.__traceback__, error.__context__) == (None, None)


@pytest.fixture
def decoded():
    """The paths that `counted` has decoded, in order."""
    return []


@pytest.fixture
def counted(decoded):
    """The same as `read_audio`."""

    def read(path):
        decoded.append(path)
        return read_audio(path)

    return read


def test_read_each_decodes_no_more_than_a_window_ahead(tmp_path, counted, decoded):
    path = write_pcm(tmp_path / "a.wav", SIGNAL, 2)
    clips = cast(Generator, read_each(counted, [path] * 100))
    for done in range(1, 6):
        next(clips)
        assert len(decoded) <= done + audio.AHEAD
    clips.close()
    assert len(decoded) <= 5 + audio.AHEAD


def test_a_long_file_is_decoded_when_it_is_asked_for(tmp_path, counted, decoded, monkeypatch):
    path = write_pcm(tmp_path / "a.wav", SIGNAL, 2)
    monkeypatch.setattr(audio, "LONG", 0.1)
    for done, (_, samples) in enumerate(read_each(counted, [path] * 20), 1):
        assert not isinstance(samples, UserError)
        assert len(decoded) == done


FORKS = """
import os, sys
from pathlib import Path
from flowasd.data.audio import read_audio, read_each
read = lambda: len(next(read_each(read_audio, [Path(sys.argv[1])]))[1])
read()
child = os.fork()
if not child:
    os._exit(0 if read() else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_decodes_too(tmp_path):
    path = write_pcm(tmp_path / "a.wav", SIGNAL, 2)
    subprocess.run([sys.executable, "-c", FORKS, str(path)], check=True, timeout=60)


def test_read_each_of_nothing_is_empty():
    assert list(read_each(read_audio, [])) == []


def test_real_wavs_agree_with_scipy(recordings):
    wavs = sorted(recordings.glob("mimii/**/*.wav")) + sorted(
        recordings.glob("dcase2023/slider/**/*.wav")
    )
    channels = set()
    for path in wavs:
        rate, integers = wavfile.read(path)
        channels.add(integers.ndim)
        first = integers.reshape(len(integers), -1)[:, 0]
        assert rate == RATE
        np.testing.assert_array_equal(read_audio(path) * 2**15, first)
    assert channels == {1, 2}  # mono, and MIMII's eight


def test_real_flacs_have_the_checksum_in_their_header(recordings):
    for path in sorted(recordings.glob("slider/test/*.flac"))[::40]:
        samples = read_audio(path)
        checksum = path.read_bytes()[26:42]  # STREAMINFO's MD5 of the decoded samples
        assert len(samples) == 10 * RATE
        assert hashlib.md5((samples * 2**15).astype("<i2").tobytes()).digest() == checksum
