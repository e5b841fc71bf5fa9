"""flowasd learns how healthy machines sound, and says how unlikely a new recording is.

`fit` trains a `Detector` on normal recordings, and `Detector.load` restores one. `flowasd.sklearn`
and `flowasd.pyod` have detectors of feature vectors. What is imported here starts no device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowasd.detector import Detector
    from flowasd.errors import UserError
    from flowasd.fitting import fit

__version__ = "0.2.0"
__all__ = ["Detector", "UserError", "fit"]

# JAX, which the modules of these names import, takes a second or two.
_MODULES = {
    "Detector": "flowasd.detector",
    "UserError": "flowasd.errors",
    "fit": "flowasd.fitting",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
