"""The sound of the examples on the page."""

import base64
import dataclasses
import io

import numpy as np
import pytest
import soundfile

from flowasd.evaluation.examples import MISS
from tests.report.evaluations import (
    make_example,
)

pytestmark = pytest.mark.slow

BARE = {"history": [], "examples": []}  # what tests of the rest need not wait for
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_the_sound_of_an_example_is_on_the_page(report):
    example = dataclasses.replace(make_example("a.wav"), why=MISS)
    page = report(examples=[example])
    (audio,) = [attrs for tag, attrs in page.tags if tag == "audio"]
    kind, _, content = audio["src"].partition(";base64,")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert kind == "data:audio/flac"
    assert rate == example.rate
    expected = 0.9 * example.samples / np.abs(example.samples).max()
    np.testing.assert_allclose(samples, expected, atol=1e-4)
    for words in (MISS, "a.wav", "1.0-2.0 kHz, loud", "near.wav", "p-value"):
        assert words in page.text


def test_a_long_sound_is_cut_and_silence_stays_silent(report):
    silent = np.zeros(4000 * 12, np.float32)
    page = report(examples=[dataclasses.replace(make_example(), samples=silent)])
    (audio,) = [attrs for tag, attrs in page.tags if tag == "audio"]
    content = base64.b64decode(audio["src"].partition("base64,")[2])
    samples, _ = soundfile.read(io.BytesIO(content))
    assert samples.shape == (40_000,)
    assert not samples.any()
    assert "10 s," in page.text
