"""What several tests share: a tiny trained run, the real recordings, float64."""

import gc
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# These are imported before flowasd, because Python would otherwise compile anew, in every process,
# what a module that is checked by beartype imports.
import hypothesis
import jax
import matplotlib.pyplot  # noqa: F401
import numpy as np
import optax  # noqa: F401
import orbax.checkpoint  # noqa: F401
import pytest
import sklearn.decomposition  # noqa: F401
from filelock import FileLock
from flax import nnx
from threadpoolctl import threadpool_limits

from configs import smoke
from flowasd.config import RunConfig, parse
from flowasd.data.audio import find_audio
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.results import write_results
from flowasd.report.report import write_report
from flowasd.run.checkpoint import Checkpoints
from flowasd.training.train import train

# XLA's fusion emitters take two fifths of the time of the whole suite, to compile programs that
# mostly run once. Later versions of XLA end the process where they do not know the flag.
if jax.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_use_fusion_emitters=false"
    )

# What is imported stays. Tracing makes many objects, each thousand of which would be a reason to go
# through all of it.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

# An example that is slow says something of the machine alone.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory, pytestconfig):
    """Keeps tests, and the commands that they start, out of the user's cache folder.

    The workers of a parallel run share one cache, and all runs share the compiled programs. Most
    tests run a program once or twice, so XLA does not spend time on optimising it.
    """
    shared = shared_folder(tmp_path_factory)
    compiled = pytestconfig.cache.mkdir("compiled")
    # The workers of a parallel run take a core each; more threads would wait for each other.
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(compiled))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.config.update("jax_compilation_cache_dir", str(compiled))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_disable_most_optimizations", True)
        yield


def smoke_config(changes: Mapping[str, Any] | None = None) -> RunConfig:
    """The config of the smoke run, with some keys changed, such as `{"train.steps": 40}`."""
    config = smoke.get_config()
    config.update_from_flattened_dict(changes or {})
    return parse(config)


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run of the tests, which the workers of a parallel run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(workdir: Path, make: Callable[[Path], None]) -> Path:
    """Makes a workdir, unless another worker has made it; returns it."""
    made = workdir.parent / "made"
    workdir.parent.mkdir(exist_ok=True)
    with FileLock(workdir.parent / "lock"):
        if not made.exists():
            make(workdir)
            made.touch()
    return workdir


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The workdir of a smoke run, trained and calibrated; tests must not change it."""

    def make(workdir: Path) -> None:
        train(smoke_config(), workdir)
        calibrate_run(workdir)

    return made_once(shared_folder(tmp_path_factory) / "trained" / "run", make)


@pytest.fixture(scope="session")
def evaluated(run, tmp_path_factory):
    """A copy of the smoke run with its results; tests must not change it."""

    def make(workdir: Path) -> None:
        shutil.copytree(run, workdir)
        evaluation = evaluate(workdir)
        write_results(workdir, evaluation)
        write_report(workdir / "report.html", evaluation)

    return made_once(shared_folder(tmp_path_factory) / "evaluated" / "run", make)


@pytest.fixture(scope="session")
def test_clips(run):
    """The test clips of the smoke run."""
    return find_audio([f"{os.environ['XDG_CACHE_HOME']}/flowasd/**/test/*.flac"])


@pytest.fixture(scope="session")
def recordings():
    """The real recordings beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the real recordings, which are not in the repository, in ../shared/data")
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
    rng = np.random.default_rng(0)
    state = nnx.as_pure(nnx.state(module))
    double = jax.tree.map(lambda x: np.asarray(x, np.float64), state)
    nnx.update(module, double)
    params = nnx.as_pure(nnx.state(module, nnx.Param))
    nnx.update(module, jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), params))
    return module


def train_to_first_checkpoint(config: RunConfig, workdir: Path) -> None:
    """A training that is cut off as soon as it has saved anything."""
    save = Checkpoints.save

    def save_and_stop(self, *args, **kwargs):
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, workdir)
