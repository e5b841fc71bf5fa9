"""Compiled programs are kept between runs, by JAX itself, in the user's cache folder."""

import os

import jax

from flowasd.files import user_cache

WORTH_KEEPING = 0.1  # seconds of compilation


def keep_compiled() -> None:
    """Switches JAX's persistent compilation cache on.

    The environment's `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=false` switches it off.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING)
