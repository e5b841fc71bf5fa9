"""What the figures were measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path

from experiments.speed.side import threads

PACKAGES = ("jax", "flax", "numpy", "librosa", "torch", "normflows", "FrEIA")


def description() -> str:
    """CPU, memory, threads and versions, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{package} {_version(package)}" for package in PACKAGES)
    return (
        f"{_cpu()}, {os.cpu_count()} cores, {threads()} threads on every side, "
        f"{memory:.0f} GiB memory, Python {platform.python_version()}, {versions}"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if "model name" in line), platform.machine())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"
