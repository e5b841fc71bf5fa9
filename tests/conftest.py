"""What several tests share: a tiny trained run, the real recordings, float64."""

import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from configs import smoke
from flowasd.run.checkpoint import Checkpoints
from flowasd.training import train
from flowasd.typing import Config

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


@pytest.fixture
def double():
    """Float64, so that a wrong formula shows and rounding does not."""
    with jax.enable_x64(True):
        yield


def randomise(module: Any) -> Any:
    """Moves every parameter, so that what starts as the identity is none any more."""
    if not isinstance(module, nnx.Module):
        return module
    rng = np.random.default_rng(0)
    state = nnx.as_pure(nnx.state(module))
    double = jax.tree.map(lambda x: np.asarray(x, np.float64), state)
    nnx.update(module, double)
    params = nnx.as_pure(nnx.state(module, nnx.Param))
    nnx.update(module, jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), params))
    return module


def train_to_first_checkpoint(config: Config, workdir: Path) -> None:
    """A training that is cut off as soon as it has saved anything."""
    save = Checkpoints.save

    def save_and_stop(self, *args, **kwargs):
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train.train(config, workdir)
