"""Rectangles and their words."""

import numpy as np

from flowasd.scoring.regions import find_regions

TIMES, BANDS = np.arange(101) / 10, np.arange(21) * 400.0  # 10 s, 8 kHz


def regions_of(cells, departure):
    return find_regions(cells, departure, TIMES, BANDS)


def test_planted_rectangles_are_found_and_said_in_words():
    cells, departure = np.full((100, 20), 1e-4), np.zeros((100, 20))
    cells[41:49, 8:9], departure[41:49, 8:9] = 1.0, 14.2
    cells[:, 1:2], departure[:, 1:2] = 0.5, -6.0
    throughout, short = regions_of(cells, departure)
    assert short.words == "3.2-3.6 kHz, 4.1 s to 4.9 s, 14 dB above normal"
    assert throughout.words == "400-800 Hz, throughout, 6 dB below normal"
    total = 50 + 8 + 1e-4 * (2000 - 108)
    np.testing.assert_allclose([short.share, throughout.share], [8 / total, 50 / total])
    assert (short.start, short.end, short.low, short.high) == (4.1, 4.9, 3200, 3600)


def test_there_are_three_regions_at_most_and_none_meets_another():
    cells = np.random.default_rng(0).normal(size=(100, 20)) ** 3
    regions = regions_of(cells, cells)
    assert len(regions) <= 3
    for i, one in enumerate(regions):
        for other in regions[i + 1 :]:
            apart = one.end <= other.start or other.end <= one.start
            assert apart or one.high <= other.low or other.high <= one.low
    assert [r.share for r in regions] == sorted((r.share for r in regions), reverse=True)


def test_where_nothing_raises_the_score_there_is_no_region():
    assert regions_of(-np.ones((100, 20)), np.zeros((100, 20))) == ()


def test_bands_without_frequencies_are_numbered():
    cells = np.zeros((100, 20))
    cells[10:20, 3:6] = 1
    (region,) = find_regions(cells, 0.2 * cells, TIMES, np.arange(21.0), "")
    assert region.words == "bands 3-5, 1.0 s to 2.0 s, at the normal level on average"
