"""Headers that do not count the samples that are there."""

import struct
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.robustness.made import DAMAGES, FORMATS, write
from experiments.robustness.reading import end_of
from flowasd.data.audio import read_audio
from flowasd.data.opening import NoLength
from flowasd.errors import UserError

SIGNAL = np.random.default_rng(0).normal(size=16000) / 10


def wav(path, change: Callable[[bytes], bytes] = lambda whole: whole, **kind):
    """Writes 16-bit noise, and changes the bytes of the file."""
    soundfile.write(path, SIGNAL, 16000, "PCM_16", **kind)
    path.write_bytes(change(path.read_bytes()))
    return path


def with_size(size):
    """A header that counts `size` bytes of samples, where there are 32000."""
    return lambda whole: whole[:40] + struct.pack("<I", size) + whole[44:]


def with_rate(rate):
    return lambda whole: whole[:24] + struct.pack("<I", rate) + whole[28:]


UNKNOWN = [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF]
OFF = [32044, 32036, 32001, 31998, 31940]  # size of the file, of the RIFF chunk, some bytes


@pytest.mark.parametrize("size", UNKNOWN + OFF)
def test_a_size_that_a_recorder_could_not_correct_is_no_loss(tmp_path, size):
    path = wav(tmp_path / "a.wav", with_size(size))
    said = pytest.warns(NoLength) if size in [*UNKNOWN, *OFF[:2]] else nullcontext()
    with said:
        samples = read_audio(path)
    assert len(samples) >= 15970
    np.testing.assert_allclose(samples, SIGNAL[: len(samples)], atol=2**-15)
    if size in UNKNOWN:
        assert len(samples) == 16000


@pytest.mark.parametrize("size", [32002, 33000, 320000, 0x60000000])
def test_a_size_of_samples_that_are_missing_is_refused(tmp_path, size):
    with pytest.raises(UserError, match=r"a\.wav: cut short"):
        read_audio(wav(tmp_path / "a.wav", with_size(size)))


@pytest.mark.parametrize("size", [2, 3200, 31000])
def test_a_size_that_leaves_samples_out_is_refused(tmp_path, size):
    with pytest.raises(UserError, match=r"a\.wav: its header counts"):
        read_audio(wav(tmp_path / "a.wav", with_size(size)))


def test_flac_that_leaves_samples_out_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, SIGNAL, 16000)
    flac = path.read_bytes()
    path.write_bytes(flac[:22] + (1600).to_bytes(4, "big") + flac[26:])
    with pytest.raises(UserError, match=r"a\.flac: its header counts 1600 samples"):
        read_audio(path)


@pytest.mark.parametrize(
    "after", [bytes(4000), b"ID3\x04" + bytes(200), b"bext" + struct.pack("<I", 602) + b"x" * 602]
)
def test_padding_tags_and_chunks_after_the_samples_do_no_harm(tmp_path, after):
    samples = read_audio(wav(tmp_path / "a.wav", lambda whole: whole + after))
    np.testing.assert_allclose(samples, SIGNAL, atol=2**-15)


@pytest.mark.parametrize(
    "kind", [{"format": "RF64"}, {"format": "W64"}, {"format": "WAV", "endian": "BIG"}]
)
def test_wav_of_other_kinds_is_read_and_its_half_is_refused(tmp_path, kind):
    samples = read_audio(wav(tmp_path / "a.wav", **kind))
    np.testing.assert_allclose(samples, SIGNAL, atol=2**-15)
    with pytest.raises(UserError, match="cut short"):
        read_audio(wav(tmp_path / "b.wav", lambda whole: whole[: len(whole) // 2], **kind))


def test_64_bits_that_a_recorder_could_not_write_are_no_loss(tmp_path):
    def unfinished(whole):
        at = whole.index(b"ds64") + 16
        return whole[:at] + bytes(8) + whole[at + 8 :]

    with pytest.warns(NoLength):
        samples = read_audio(wav(tmp_path / "a.wav", unfinished, format="RF64"))
    np.testing.assert_allclose(samples, SIGNAL, atol=2**-15)


@pytest.mark.parametrize(("at", "value"), [(22, 2), (34, 24)])  # of channels, of bits
def test_a_header_that_contradicts_itself_is_refused(tmp_path, at, value):
    def change(whole):
        return whole[:at] + struct.pack("<H", value) + whole[at + 2 :]

    with pytest.raises(UserError, match=r"a\.wav: its header tells . channels of .. bits, in 2"):
        read_audio(wav(tmp_path / "a.wav", change))


def test_another_format_inside_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds AIFF, not WAV or FLAC"):
        read_audio(wav(tmp_path / "a.wav", format="AIFF"))


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 2**31 - 1])
def test_absurd_rates_are_refused_before_anything_is_decoded(tmp_path, rate, monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    with pytest.raises(UserError, match=rf"a\.wav: has a rate of {rate} Hz"):
        read_audio(wav(tmp_path / "a.wav", with_rate(rate)))


def test_a_long_file_is_refused_before_anything_is_decoded(tmp_path, monkeypatch):
    path = wav(tmp_path / "a.wav")
    assert len(read_audio(path, max_seconds=1.0)) == 16000
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    with pytest.raises(UserError, match=r"lasts 1 s, and config\.data\.max_clip_seconds is 0\.5"):
        read_audio(path, max_seconds=0.5)


def test_blocks_of_a_file_join_without_a_seam(tmp_path, monkeypatch):
    """Another rate is resampled through the borders of blocks."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([SIGNAL, -SIGNAL], 1), 44100, "FLOAT")
    whole = read_audio(path)
    monkeypatch.setattr("flowasd.data.audio.BLOCK", 1000)
    np.testing.assert_array_equal(read_audio(path), whole)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(FORMATS), st.sampled_from([*DAMAGES]))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, seed, kind, damage):
    path = write(np.random.default_rng(seed), tmp_path_factory.getbasetemp(), kind, damage)
    end, words = end_of(path)
    assert end != "neither", words
