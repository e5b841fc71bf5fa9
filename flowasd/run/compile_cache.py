"""Makes JAX keep compiled programs between runs, in the user's cache folder."""

import os

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
