"""Is every damaged file either read or refused, by one line and without a large allocation?

python -m experiments.robustness.files [--count=10000] [--seed=0]

Files of five formats with eight damages are made by chance and read. The table has, for each
damage, how many were read, how many were refused, and how many did neither: another exception or a
warning, a message of several lines, or more memory than a file of a second can need.
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path

from absl import flags
from tqdm import tqdm

from experiments.robustness.reading import Tried, peak, table, tried
from experiments.runs import command
from flowasd.files import write_csv, write_text

COUNT = flags.DEFINE_integer("count", 10000, "Files to make.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the files.", lower_bound=0)
WORKDIR = flags.DEFINE_string("workdir", "runs/robustness", "Folder of the table.")

MEMORY = 100  # MiB that reading all files may take above what the first ones took


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
