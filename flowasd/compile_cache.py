"""Compiled programs are kept between runs, by JAX itself, in the user's cache folder."""

import jax

from flowasd.data.source import user_cache

WORTH_KEEPING = 0.1  # seconds of compilation


def keep_compiled() -> None:
    """Switches JAX's persistent compilation cache on, unless JAX has been told what to do.

    `JAX_COMPILATION_CACHE_DIR` names another folder; `JAX_ENABLE_COMPILATION_CACHE=false` is off.
    """
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING)
