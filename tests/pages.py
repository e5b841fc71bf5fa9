"""What the pages of the documentation hold: their blocks, the marks before these, the commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import REPO

SHOWN = (REPO / "README.md", *sorted((REPO / "docs").glob("*.md")))
OTHERS = (REPO / "CONTRIBUTING.md", *sorted((REPO / "experiments").glob("*/README.md")))

MARK = r"(?:^ *<!-- (?P<mark>.+?) -->\n)?"
FENCE = r"^(?P<indent> *)```(?P<language>sh|python)\n(?P<code>.*?)^ *```$"
BLOCK = re.compile(MARK + FENCE, re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)")
PATH = re.compile(r"`((?:configs|docs|experiments|flowasd|tests)/[\w./]*)`")


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        page: The page.
        language: `sh` or `python`.
        code: What is in it.
        mark: The words of the comment on the line before it, such as `needs: a network`.
    """

    page: Path
    language: str
    code: str
    mark: str

    @property
    def runs(self) -> bool:
        """Whether the test of the pages runs it."""
        return not self.mark.startswith(("needs: ", "runs: "))

    @property
    def file(self) -> str:
        """The file that an example is a part of, if it is one."""
        return self.mark.removeprefix("in: ") if self.mark.startswith("in: ") else ""

    @property
    def commands(self) -> list[list[str]]:
        """The words of every command in it."""
        text = self.code.replace("\\\n", " ")
        text = re.sub(r"\[(--[^\]]*)\]", r"\1", text)  # an option that may be left out
        return [
            shlex.split(command)
            for line in text.splitlines()
            for command in re.split(r"&&", re.sub(r"\s+#.*", "", line))
            if command.strip()
        ]


def blocks(page: Path, language: str) -> Iterator[Block]:
    """Yields the blocks of a page in one language."""
    for found in BLOCK.finditer(page.read_text()):
        if found["language"] == language:
            code = re.sub(f"^{found['indent']}", "", found["code"], flags=re.M)
            yield Block(page, language, code, found["mark"] or "")


def links(page: Path) -> set[Path]:
    """Returns the files that a page links to, or names between backquotes."""
    text = page.read_text()
    linked = {page.parent / target for target in LINK.findall(text) if target}
    return linked | {REPO / path for path in PATH.findall(text)}


def name(page: Path) -> str:
    """Returns the path of a page in the repository, which is also the ID of its tests."""
    return str(page.relative_to(REPO))
