"""A device without room, for tests of full disks."""

from pathlib import Path

import pytest

FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(
    not FULL.exists(), reason="needs /dev/full, a full disk, which Linux has"
)
