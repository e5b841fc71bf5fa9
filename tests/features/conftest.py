"""Recordings, a cache folder, and what is computed for it."""

import pytest

from flowasd.features import cache
from flowasd.features.hearing import hear
from tests.features.recordings import record


@pytest.fixture
def clips(tmp_path):
    """Three files of different length."""
    return [
        record(tmp_path / f"normal_id_00_{i:08d}.wav", seconds, i)
        for i, seconds in enumerate((1.0, 0.3, 2.5))
    ]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch):
    """The files whose features have been computed."""
    paths = []

    def counting(wanted, *settings):
        for path, heard in hear(wanted, *settings):
            paths.append(path)
            yield path, heard

    monkeypatch.setattr(cache, "hear", counting)
    return paths
