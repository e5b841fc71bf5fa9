"""How the reading of damaged files ends."""

import resource
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.robustness.made import DAMAGES, FORMATS, write
from flowasd.data.audio import read_audio
from flowasd.data.opening import NoLength
from flowasd.errors import UserError

ENDS = ("read", "refused", "neither")


class Tried(NamedTuple):
    """One file and how it ended.

    Attributes:
        damage: What was done to it.
        kind: Its format.
        end: One of `ENDS`.
        words: What was said.
    """

    damage: str
    kind: str
    end: str
    words: str


def tried(count: int, seed: int, folder: Path) -> Iterator[Tried]:
    """Makes and reads files; the same seed makes the same ones."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        kind, damage = str(rng.choice(FORMATS)), str(rng.choice([*DAMAGES]))
        path = write(rng, folder, kind, damage)
        yield Tried(damage, kind, *end_of(path))


def end_of(path: Path) -> tuple[str, str]:
    """Reads a file, and says how that ended and what was said."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoLength)
            samples = read_audio(path)
    except UserError as error:
        text = str(error)
        return ("refused" if "\n" not in text and str(path) in text else "neither"), text
    except Exception as error:  # what is counted here is a defect, whatever it is
        return "neither", repr(error)
    good = samples.dtype == np.float32 and samples.size > 0 and np.isfinite(samples).all()
    return ("read" if good else "neither"), f"{samples.size} samples"


def table(results: list[Tried]) -> str:
    """Returns the table as Markdown."""
    ends = Counter((one.damage, one.end) for one in results)
    lines = ["| damage | files | read | refused | neither |", "|---|---|---|---|---|"]
    for damage in DAMAGES:
        counts = [ends[damage, end] for end in ENDS]
        lines.append(f"| {damage} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    total = [sum(ends[damage, end] for damage in DAMAGES) for end in ENDS]
    lines.append(f"| all | {sum(total)} | {' | '.join(map(str, total))} |")
    return "\n".join(lines)


def peak() -> float:
    """Returns the most memory that the process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
