"""What several tests share: a tiny corpus, a tiny trained run, the real recordings."""

import os
from pathlib import Path

import jax
import pytest

from configs import smoke
from flowasd import train

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keeps tests, and the commands that they start, out of the user's cache folder."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The workdir of a smoke run, trained; tests must not change it."""
    workdir = tmp_path_factory.mktemp("run")
    train.train(smoke.get_config(), workdir)
    return workdir


@pytest.fixture(scope="session")
def recordings():
    """The real recordings beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the real recordings (../shared/data) are not here")
    return SHARED


@pytest.fixture
def key():
    return jax.random.key(0)
