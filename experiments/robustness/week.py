"""Does a watch hold no more after a week than after 1,000 recordings, and look as quickly?

python -m experiments.robustness.week --workdir=runs/slider --input=FOLDER [--kept=1000]

A week has a recording every 30 seconds and a look every 5 minutes; nothing waits for a clock. The
recordings are those of `--input`, again and again, under new names. The watch is ended after half
of them and started anew. `--kept` is how many stay in the folder; the recorder removes older ones.

The command fails if memory has grown by more than 5 %, if open files, threads or compiled programs
have grown at all, or if a recording has no row or two.
"""

import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from experiments.robustness.state import State, Watched, grown, table
from experiments.runs import command
from flowasd.data.audio import find_audio
from flowasd.serving.watch import watch
from flowasd.serving.watch_log import open_log

WORKDIR = flags.DEFINE_string("workdir", "runs/slider", "Folder of a trained run.")
INPUT = flags.DEFINE_multi_string("input", None, "Recordings to link to.", required=True)
COUNT = flags.DEFINE_integer("count", 7 * 24 * 60 * 2, "Recordings of the week.", lower_bound=4)
FIRST = flags.DEFINE_integer("first", 1000, "Recordings before the first state.", lower_bound=1)
KEPT = flags.DEFINE_integer("kept", 10**9, "Recordings that stay in the folder.", lower_bound=20)

LOOKS = 50  # whose time is taken
AT_ONCE = 10  # recordings between two looks


class Week:
    """Stands for clock and recorder: between two looks some recordings come.

    Attributes:
        folder: Where the recordings come.
        sources: What they are links to, again and again.
        ends: Whether the watch ends, look by look.
        states: What the process held, and the seconds of a look at which there is nothing new.
        come: How many have come.
    """

    def __init__(self, folder: Path, sources: list[Path]):
        self.folder, self.sources = folder, itertools.cycle(sources)
        self.ends: Iterator[bool] = iter(())
        self.states, self.seconds = dict[str, State](), dict[str, float]()
        self.come, self.there, self.watched = 0, deque[Path](), Watched()

    def wait(self, seconds: float) -> bool:
        """Says whether the watch ends; it is asked after every look, and after every recording."""
        return bool(seconds) and next(self.ends)

    def until(self, count: int, first: int, kept: int) -> Iterator[bool]:
        """Yields, at every look, whether the watch ends, which it does after so many recordings."""
        for _ in tqdm(range(self.come, count), "record", unit="clip", disable=None):
            source = next(self.sources)
            machine = source.stem.rpartition("_")[0]
            path = self.folder / f"{machine}_{self.come:08d}{source.suffix}"
            path.hardlink_to(source)
            self.there.append(path)
            self.come += 1
            if len(self.there) > kept:
                self.there.popleft().unlink()
            if not self.come % AT_ONCE:
                yield False
            if self.come == first:
                yield from self.measured()
        yield from self.measured()
        yield True

    def measured(self) -> Iterator[bool]:
        """Waits until all is scored, and notes the state and the median time of a look."""
        yield from (False, False)
        seconds = []
        for _ in range(LOOKS):
            start = time.process_time()
            yield False
            seconds.append(time.process_time() - start)
        when = f"after {self.come} recordings"
        self.states[when], self.seconds[when] = self.watched.now(), float(np.median(seconds))


def main() -> int:
    with tempfile.TemporaryDirectory() as top:
        folder, copies, output = Path(top, "in"), Path(top, "copies"), Path(top, "watch.csv")
        folder.mkdir()
        copies.mkdir()  # links do not lead from one disk to another
        week = Week(folder, [Path(shutil.copy(path, copies)) for path in find_audio(INPUT.value)])
        for count in (COUNT.value // 2, COUNT.value):
            week.ends = week.until(count, FIRST.value, KEPT.value)
            watch(Path(WORKDIR.value), [str(folder)], None, str(output), wait=week.wait)
        week.watched.close()
        with open_log(output) as log:
            rows = Counter(row.path for row in log.rows)
            alarms = sum(row.alarm for row in log.rows)
        print(table(week.states), end="\n\n")
        for when, seconds in week.seconds.items():
            print(f"{when}: {1000 * seconds:.1f} ms of processor time for a look at nothing new")
        once = sum(count == 1 for count in rows.values())
        print(f"{once} of {week.come} recordings have one row; {alarms} alarms")
    states = [*week.states.values()]
    more = grown(states[0], states[-1])
    if more:
        print(f"experiments: has grown: {', '.join(more)}", file=sys.stderr)
    return 1 if more or once != week.come else 0


if __name__ == "__main__":
    command(main)
