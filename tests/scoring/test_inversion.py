"""Whether `inverse` undoes `forward`."""

import numpy as np
import pytest

from flowasd.flow.glow import Glow
from flowasd.scoring.inversion import ALLOWED, inversion_error
from tests.conftest import randomise
from tests.flow.made_flows import SHAPES, make

CLIPS = [
    np.random.default_rng(i).normal(size=(n, 8)).astype(np.float32) for i, n in enumerate((9, 3))
]
MACHINE = np.array([1, 0])


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_flow_is_inverted_within_what_is_allowed(shape, monkeypatch):
    flow = randomise(make(SHAPES[shape], dtype="float32"))
    assert 0 < inversion_error(flow, CLIPS, MACHINE, 8) < ALLOWED
    inverse = Glow.inverse
    monkeypatch.setattr(Glow, "inverse", lambda *args: inverse(*args) + 0.5)
    assert abs(inversion_error(flow, [*CLIPS, CLIPS[0]], np.array([1, 0, 0]), 8) - 0.5) < ALLOWED
    monkeypatch.setattr(Glow, "inverse", lambda *args: inverse(*args) * np.nan)
    assert inversion_error(flow, CLIPS[:1], MACHINE[:1], 8) == np.inf
