"""The devices that JAX computes on: those that were asked for, or an error."""

from typing import Any

import jax

from flowasd.errors import UserError


def require_devices() -> str:
    """Starts JAX, and returns the devices in words, such as "1 x cpu".

    Raises:
        UserError: If JAX_PLATFORMS names a platform that JAX does not find. JAX itself would go on
            with another one.
    """
    config: Any = jax.config
    asked = [name for name in (config.jax_platforms or "").split(",") if name]
    try:
        for name in asked:
            jax.devices(name)
        devices = jax.devices()
    except (AssertionError, RuntimeError) as error:  # JAX asserts that a device is left
        why = str(error).split("\n", 1)[0] or "none was found"
        raise UserError(
            f"JAX_PLATFORMS={','.join(asked)}: JAX does not find such a device ({why}); install "
            "JAX for it, or leave the variable out"
        ) from error
    return f"{len(devices)} x {devices[0].device_kind}"
