"""The order of the rooms: a file imports only from its own room and from rooms above it."""

import ast
from pathlib import Path

import pytest

from tests.conftest import REPO

# From the top down. A room is a folder of the package or a file beside them.
ROOMS = (
    ("errors",),
    ("files", "settings"),
    ("compiling",),
    ("command_line",),
    ("data",),
    ("features",),
    ("flow",),
    ("scoring",),
    ("config",),
    ("run",),
    ("training",),
    ("band_detector",),
    ("doubting", "enrolling"),
    ("file_results", "explaining"),
    ("detector",),
    ("evaluation",),
    ("fitting", "sklearn"),
    ("pyod",),
    ("serving",),
    ("report",),
    ("arguments",),
    ("modes",),
    ("main",),
)
# `__init__.py` names what is public, from all rooms.
RANK = {room: rank for rank, rooms in enumerate((*ROOMS, ("__init__",))) for room in rooms}
FILES = sorted((REPO / "flowasd").rglob("*.py"))


def room_of(module: str) -> str:
    return module.split(".")[1]


def imported_modules(path: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module for module in found if module.startswith("flowasd.")}


def test_every_file_is_in_a_room():
    parts = {path.relative_to(REPO / "flowasd").parts[0].removesuffix(".py") for path in FILES}
    assert parts == RANK.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_no_import_runs_up(path):
    own = path.relative_to(REPO / "flowasd").parts[0].removesuffix(".py")
    for module in imported_modules(path):
        room = room_of(module)
        assert room == own or RANK[room] < RANK[own], f"{path} imports {module}"


def test_only_the_modes_import_the_report():
    outside = [path for path in FILES if path.parent.name != "report"]
    importers = {
        p.name for p in outside if any(room_of(m) == "report" for m in imported_modules(p))
    }
    assert importers <= {"modes.py"}


def test_only_the_checkpoints_import_orbax():
    users = [path.name for path in FILES if "import orbax" in path.read_text()]
    assert users == ["checkpoint.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_no_file_has_more_than_300_lines(path):
    assert len(path.read_text().splitlines()) <= 300


def test_configs_import_flowasd_alone():
    for path in (REPO / "configs").glob("*.py"):
        tree = ast.parse(path.read_text())
        modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert modules <= {"typing", "flowasd.config"}, path


def test_no_package_uses_private_jax():
    for path in FILES:
        assert "jax._src" not in path.read_text(), path
