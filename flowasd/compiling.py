"""What is compiled: kept between runs, in the user's cache folder, and quickly if it runs once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from flowasd.files import user_cache

WORTH_KEEPING = 0.1  # seconds; programs that compile faster are not kept


def keep_compiled() -> None:
    """Switches JAX's persistent compilation cache on.

    The environment variable `JAX_COMPILATION_CACHE_DIR` names another folder,
    `JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS` another limit in seconds, and
    `JAX_ENABLE_COMPILATION_CACHE=false` switches the cache off.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "compiled"))
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING)


@contextmanager
def compiled_quickly() -> Iterator[None]:
    """Leaves most of XLA's optimisation out of what is compiled in the block.

    For programs that run once: on two CPU cores, optimising them takes longer than all else.
    """
    config: Any = jax.config
    usual = config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", usual)
