"""The devices that JAX computes on."""

from typing import Any

import jax
import pytest

from flowasd.errors import UserError
from flowasd.run.devices import require_devices


@pytest.fixture
def platforms():
    """Changes which platforms are asked for, after JAX has started."""
    config: Any = jax.config
    asked = config.jax_platforms
    yield lambda names: jax.config.update("jax_platforms", names)
    jax.config.update("jax_platforms", asked)


def test_devices_are_told(platforms):
    for names in (None, "cpu"):
        platforms(names)
        assert require_devices() == f"{jax.device_count()} x cpu"


@pytest.mark.parametrize("names", ["cuda", "cuda,cpu", "cpu,tpu"])
def test_a_platform_that_was_asked_for_is_never_replaced_by_another(names, platforms):
    platforms(names)
    with pytest.raises(UserError, match=f"JAX_PLATFORMS={names}: JAX does not find such a device"):
        require_devices()
