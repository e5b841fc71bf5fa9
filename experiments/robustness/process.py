"""Does a process that has scored 20,000 clips hold no more than after 1,000?

python -m experiments.robustness.process --workdir=runs/slider [--count=20000]

The run of configs/slider.py scores generated noise of many lengths, in files with many names. The
table has memory, open files, threads and compiled programs. The command fails if memory has grown
by more than 5 %, or anything else at all.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from absl import flags
from tqdm import tqdm

from experiments.robustness.state import Watched, grown, table
from experiments.runs import command
from flowasd.detector import Detector

WORKDIR = flags.DEFINE_string("workdir", "runs/slider", "Folder of a trained run.")
COUNT = flags.DEFINE_integer("count", 20000, "Clips to score, in hundreds.", lower_bound=200)
FIRST = flags.DEFINE_integer("first", 1000, "Clips before the first state.", lower_bound=100)
LONGEST = flags.DEFINE_float("longest", 20.0, "Length of the longest clip in s.", lower_bound=1.0)

RECORDINGS = 300  # of which all the others are links
AT_ONCE = 100


def recordings(folder: Path, longest: float) -> list[Path]:
    """Makes files of noise, from one second on."""
    rng, made = np.random.default_rng(0), []
    for i, seconds in enumerate(rng.uniform(1, longest, RECORDINGS)):
        made.append(folder / f"{i}.wav")
        soundfile.write(made[-1], rng.normal(size=int(16000 * seconds)) / 10, 16000)
    return made


def links(made: list[Path], first: int) -> Iterator[Path]:
    """Yields other names of recordings, from a number on."""
    for i in range(first, first + AT_ONCE):
        name = made[0].with_name(f"link_{i}.wav")
        name.hardlink_to(made[i % len(made)])
        yield name


def main() -> int:
    detector, watched, states = Detector.load(Path(WORKDIR.value)), Watched(), {}
    starts = range(0, COUNT.value, AT_ONCE)
    with tempfile.TemporaryDirectory() as folder:
        made = recordings(Path(folder), LONGEST.value)
        for first in tqdm(starts, "score", unit="hundred", disable=None):
            for result in detector.results([*links(made, first)], detector.known_ids[0]):
                if result.error:
                    raise result.error
            if (scored := first + AT_ONCE) in (FIRST.value, COUNT.value // 2, COUNT.value):
                states[scored] = watched.now()
    watched.close()
    print(table({f"after {scored} clips": state for scored, state in states.items()}))
    more = grown(states[FIRST.value], states[COUNT.value])
    if more:
        print(f"experiments: has grown: {', '.join(more)}", file=sys.stderr)
    return 1 if more else 0


if __name__ == "__main__":
    command(main)
