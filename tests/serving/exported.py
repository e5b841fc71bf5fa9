"""Maps of an export against those of explanations."""

import numpy as np


def assert_maps_agree(maps, explanations):
    """To a ten-thousandth of a clip's largest cell."""
    for own, explained in zip(maps, explanations, strict=True):
        tolerance = 1e-4 * np.abs(explained.map).max()
        np.testing.assert_allclose(own, explained.map, rtol=0, atol=tolerance)
