"""Whether `inverse` undoes `forward`."""

from typing import Any

import numpy as np
import pytest

from flowasd.flow.glow import Glow
from flowasd.scoring import inversion
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
    compiled: Any = inversion._error
    usual = Glow.inverse

    def error(inverse, clips, machine):
        """With another inverse, for which nothing has been compiled."""
        monkeypatch.setattr(Glow, "inverse", inverse)
        compiled.clear_cache()
        return inversion_error(flow, clips, machine, 8)

    assert 0 < error(usual, CLIPS, MACHINE) < ALLOWED
    wrong = error(lambda *args: usual(*args) + 0.5, [*CLIPS, CLIPS[0]], np.array([1, 0, 0]))
    assert abs(wrong - 0.5) < ALLOWED
    assert error(lambda *args: usual(*args) * np.nan, CLIPS[:1], MACHINE[:1]) == np.inf
    compiled.clear_cache()
