"""Is every damaged file either read or refused, by one line and without a large allocation?

python -m experiments.robustness.files [--count=10000] [--seed=0]

Files of five formats with eight damages are made by chance and read. The table has, for each
damage, how many were read, how many were refused, and how many did neither: another exception or a
warning, a message of several lines, or more memory than a file of a second can need.
"""

import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from tqdm import tqdm

from experiments.robustness.made import DAMAGES, FORMATS, write
from experiments.runs import command
from flowasd.data.audio import read_audio
from flowasd.errors import UserError
from flowasd.files import write_csv, write_text

COUNT = flags.DEFINE_integer("count", 10000, "Files to make.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the files.", lower_bound=0)
WORKDIR = flags.DEFINE_string("workdir", "runs/robustness", "Folder of the table.")

ENDS = ("read", "refused", "neither")
MEMORY = 100  # MiB that reading all files may take above what the first ones took


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


def main() -> int:
    warnings.simplefilter("error")
    folder, start = Path(WORKDIR.value), time.process_time()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        runs = tried(COUNT.value, SEED.value, Path(scratch))
        results = [next(runs)]
        before = peak()
        results += tqdm(runs, "files", COUNT.value - 1, unit="file", disable=None)
    more = peak() - before
    text = table(results)
    write_text(folder / "tables.md", text + "\n")
    write_csv(folder / "results.csv", [Tried._fields, *results])
    print(f"{text}\n\nSeed {SEED.value}, {time.process_time() - start:.0f} s of processor time.")
    print(f"Reading took {more:.0f} MiB above the first file.")
    wrong = [one for one in results if one.end == "neither"]
    for one in wrong[:10]:
        print(f"experiments: {one.kind}, {one.damage}: {one.words}", file=sys.stderr)
    return 1 if wrong or more > MEMORY else 0


if __name__ == "__main__":
    command(main)
