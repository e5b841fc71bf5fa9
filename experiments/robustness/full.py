"""What do commands say where the disk is full, and does the same command go on when it is not?

python -m experiments.robustness.full

A tmpfs of 16 MiB is filled until so many kB are left, and a command writes to it; then there is
room, and the command is repeated. The run is that of configs/smoke.py on SIMULATED recordings. The
tmpfs is mounted where no other process sees it (`unshare --mount`), and goes with this process.
The command fails if anything is lost, or is told otherwise than in one line.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments.runs import command
from flowasd.errors import UserError

DISK = flags.DEFINE_string("disk", None, "An empty tmpfs; by default one is mounted.")

OWN = ("unshare", "--map-root-user", "--mount", "sh", "-c")
WIDTH = 400  # characters of an error that the table has
MOUNT = 'mount -t tmpfs -o size=16m none "$0"'


class Case(NamedTuple):
    """A command on a full disk.

    Attributes:
        name: What the command does.
        rooms: How many kB are left; the command runs once for each.
        act: Runs it on a folder of the disk, which holds a trained run if it is to hold one.
        kept: Says what of its work is in the folder; it must not get less.
        begun: Whether the folder holds a trained run before.
    """

    name: str
    rooms: tuple[int, ...]
    act: Callable[[Path], object]
    kept: Callable[[Path], int]
    begun: bool = True


def cases(trained: Path, clips: Path) -> list[Case]:
    """What is tried.

    Args:
        trained: A trained run on another disk.
        clips: A folder of recordings.
    """
    from configs import smoke
    from flowasd.config import parse
    from flowasd.evaluation.evaluate import evaluate
    from flowasd.evaluation.results import write_results
    from flowasd.report.report import write_report
    from flowasd.run.checkpoint import Checkpoints
    from flowasd.serving.enrol_files import enrol_files
    from flowasd.serving.export import export_run
    from flowasd.serving.score_files import score_files
    from flowasd.serving.watch import watch
    from flowasd.training.train import train

    config, inputs = parse(smoke.get_config()), [str(clips)]
    evaluation = evaluate(trained)
    first = str(min(clips.iterdir()))

    def rows(name: str) -> Callable[[Path], int]:
        def count(folder: Path) -> int:
            found = [path for path in (folder / name, folder / f"{name}.partial") if path.exists()]
            if not found:
                return 0
            with found[0].open(newline="") as file:
                return sum(1 for row in csv.reader(file) if row[0].endswith(".flac"))

        return count

    def steps(folder: Path) -> int:
        if not (folder / "checkpoints").is_dir():
            return 0
        with closing(Checkpoints(folder)) as checkpoints:
            return sum(bool(checkpoints.card(step)) for step in checkpoints.steps)

    def files(folder: Path) -> int:
        return sum(path.is_file() for path in folder.rglob("*"))

    def watched(folder: Path) -> None:
        looks = iter((False, False, True))
        output = str(folder / "watch.csv")
        wait = lambda seconds: bool(seconds) and next(looks)  # noqa: E731
        watch(trained, inputs, None, output, false_alarm_every=1e9, wait=wait)

    def trained_by_a_cache(folder: Path) -> None:
        usual = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        try:
            with tempfile.TemporaryDirectory() as elsewhere:
                train(config, Path(elsewhere))
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if usual is not None:
                os.environ["XDG_CACHE_HOME"] = usual

    def evaluated(folder: Path) -> None:
        write_results(folder, evaluation)
        write_report(folder / "report.html", evaluation)

    enrolled = [first], "id_77"
    return [
        Case("train", (0, 12, 60, 250, 450), lambda w: train(config, w), steps, False),
        Case("train, the cache on the disk", (0, 200), trained_by_a_cache, files, False),
        Case("results and report", (4, 100), evaluated, files),
        Case(
            "score",
            (0, 4),
            lambda w: score_files(trained, inputs, None, str(w / "scores.csv")),
            rows("scores.csv"),
        ),
        Case("watch", (0, 4), watched, rows("watch.csv")),
        Case("enrol", (0,), lambda w: enrol_files(w, *enrolled, None), files),
        Case(
            "enrol into a copy",
            (100,),
            lambda w: enrol_files(trained, *enrolled, str(w / "copy")),
            files,
        ),
        Case("export", (0, 40), lambda w: export_run(trained, str(w / "export")), files),
    ]


class End(NamedTuple):
    """How a command ended.

    Attributes:
        good: Whether it ended well.
        words: What it said.
    """

    good: bool
    words: str


def ended(act: Callable[[Path], object], folder: Path) -> End:
    """Runs a command, and says how it ended; what goes to standard error belongs to it."""
    sys.stderr.flush()
    usual = os.dup(2)
    with tempfile.TemporaryFile("w+") as said:
        os.dup2(said.fileno(), 2)
        try:
            act(folder)
            end = End(True, "")
        except (UserError, OSError) as error:  # one line and status 2
            end = End(False, str(error))
        except Exception as error:  # what is looked for is a defect, whatever it is
            end = End(False, f"Traceback: {error!r}")
        finally:
            sys.stderr.flush()
            os.dup2(usual, 2)
            os.close(usual)
        said.seek(0)
        if "Traceback" in (text := said.read()):
            end = End(False, f"Traceback: {text}")
    return end


def tried(case: Case, room: int, disk: Path, trained: Path) -> str:
    """Runs a command on the full disk and again on one with room; returns a row of the table."""
    folder, filler = disk / "run", disk / "filler"
    shutil.rmtree(folder, ignore_errors=True)
    if case.begun:
        shutil.copytree(trained, folder)
    else:
        folder.mkdir()
    with filler.open("wb") as file:
        file.write(bytes(max(0, shutil.disk_usage(disk).free - 1024 * room)))
    full = ended(case.act, folder)
    kept = case.kept(folder)
    filler.unlink()
    again = ended(case.act, folder)
    wrong = full.good or "Traceback" in full.words or "\n" in full.words
    lost = not again.good or case.kept(folder) < kept
    said = " ".join(full.words.replace(str(disk), "DISK").replace("|", "/").split())[:WIDTH]
    then = f"LOST: {' '.join(again.words.split())[:WIDTH]}" if lost else "goes on"
    return f"| {case.name} | {room} | {'WRONG: ' if wrong else ''}{said} | {kept} | {then} |"


def main() -> int:
    if DISK.value is None:
        with tempfile.TemporaryDirectory() as disk:
            if subprocess.run([*OWN, MOUNT, disk], stderr=subprocess.DEVNULL).returncode:
                print("skipped: nothing can be mounted here")
                return 0
            line = [sys.executable, "-m", "experiments.robustness.full", f"--disk={disk}"]
            inside = [*OWN, f'{MOUNT} && exec "$@"', disk, *line]
            return subprocess.run(inside).returncode
    disk = Path(DISK.value)
    with tempfile.TemporaryDirectory() as top:
        trained, clips = Path(top, "run"), Path(top, "clips")
        _prepare(trained, clips)
        lines = ["| command | kB left | what it says | kept | with room |", "|---|---|---|---|---|"]
        for case in cases(trained, clips):
            lines += [tried(case, room, disk, trained) for room in case.rooms]
    print("\n".join(lines))
    return int(any("WRONG" in line or "LOST" in line for line in lines))


def _prepare(trained: Path, clips: Path) -> None:
    """Trains a run and links to its test clips, under a hundred names."""
    from configs import smoke
    from flowasd.config import parse
    from flowasd.data.source import open_source
    from flowasd.evaluation.calibrate import calibrate_run
    from flowasd.training.train import train

    config = parse(smoke.get_config())
    train(config, trained)
    calibrate_run(trained)
    clips.mkdir()
    sources = [clip.path for clip in open_source(config.data, config.seed).splits["test"]]
    for i in range(100):
        source = sources[i % len(sources)]
        machine = source.stem.rpartition("_")[0]
        (clips / f"{machine}_{i:08d}{source.suffix}").symlink_to(source)


if __name__ == "__main__":
    command(main)
