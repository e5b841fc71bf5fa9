"""`--mode=watch`: scores every recording that comes into a folder, and raises alarms.

The folder is looked at every few seconds. A recording is complete when its size and its time of
change are the same in two looks, so it may be renamed into the folder or grow there. Polling needs
no package, and works on network drives, which tell a machine nothing of what others write.

All that a watch remembers is its CSV (`watch_log.py`). A watch that starts anew reads there what
was scored, and computes the evidence of every machine again from the scores.
"""

import contextlib
import itertools
import json
import math
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from flowasd.config import RunConfig
from flowasd.data.audio import audio_below, audio_names_below
from flowasd.detector import Detector, Result
from flowasd.errors import UserError
from flowasd.files import refuse_overwriting
from flowasd.scoring.stream_test import Stream, after_alarm, begin, is_alarm, observe
from flowasd.serving.watch_log import Row, Version, WatchLog, digest_of, open_log, version_of

NAME = "watch.csv"  # in the workdir
COMMAND_LIMIT = 60.0  # seconds that the command of an alarm may take
ASKED_AGAIN = 1000  # settled recordings of which a look asks whether they have changed

Wait = Callable[[float], bool]


def watch(
    workdir: Path,
    inputs: Sequence[str],
    machine_id: str | None,
    output: str | None,
    config: RunConfig | None = None,
    alpha: float | None = None,
    false_alarm_every: float = 1000.0,
    on_alarm: str | None = None,
    look_every: float = 2.0,
    wait: Wait | None = None,
) -> int:
    """Scores every complete recording in some folders once, until SIGTERM or SIGINT.

    A row for each is appended to the CSV. A file that cannot be scored is one line on standard
    error, and is tried again when it changes. An alarm is a JSON line on standard output.

    Args:
        workdir: Folder of a run.
        inputs: Folders, which are watched at every depth.
        machine_id: The ID of all files; without it, each file's name tells.
        output: The CSV; without it, watch.csv in the workdir.
        config: Settings of the scoring; without it, those of the run.
        alpha: Rate of false alarms of the decision on every clip by itself; without it, that of
            the settings.
        false_alarm_every: A machine that stays normal raises an alarm after this many clips on
            average, or after more.
        on_alarm: Command that every alarm starts, with the JSON line on its standard input; no
            shell reads it. The alarm's row is written when it has ended, so that an alarm is told
            twice, and not missed, if the watch is killed in between.
        look_every: Seconds between two looks at the folders.
        wait: Waits for so many seconds, and says whether the watch shall end; without it, it
            listens to the signals.

    Returns:
        The exit status, which is 0.

    Raises:
        UserError: If there is no checkpoint or no such folder, the command does not exist, or the
            CSV cannot be written or is of another model.
    """
    if not inputs:
        raise UserError("nothing to watch; name a folder with --input")
    folders = [Path(name).absolute() for name in inputs]
    if missing := [name for name in inputs if not Path(name).is_dir()]:
        raise UserError(f"{', '.join(missing)}: no such folder; make it, or name another --input")
    path = Path(output) if output else workdir / NAME
    if path.suffix.lower() != ".csv":
        raise UserError(f"{path}: a watch writes CSV; name another --output")
    refuse_overwriting([path], (found for folder in folders for found in audio_below(folder)))
    command = _command(on_alarm)
    with _signals() if wait is None else contextlib.nullcontext(wait) as waiting:
        detector = Detector.load(workdir, config)
        detector.results([], machine_id)  # refuses an unknown ID
        if detector.kind == "SIMULATED":
            _say("this model was trained on SIMULATED recordings")
        if short := detector.shortage(alpha):
            _say(short)
        with open_log(path) as log:
            _say(f"watching {', '.join(inputs)}; {len(log.rows)} recordings were scored before")
            own = _Watch(detector, log, machine_id, alpha, false_alarm_every, command)
            own.run(folders, look_every, waiting)
    return 0


class _Watch:
    """What a watch knows while it runs; all of it comes from the CSV."""

    def __init__(
        self,
        detector: Detector,
        log: WatchLog,
        machine_id: str | None,
        alpha: float | None,
        false_alarm_every: float,
        command: Sequence[str],
    ) -> None:
        self.detector, self.log, self.machine_id = detector, log, machine_id
        self.alpha = detector.config.score.alpha if alpha is None else alpha
        self.false_alarm_every, self.command = false_alarm_every, command
        self.streams = _streams(detector, log)
        self.settled = {row.path: row.version for row in log.rows}
        self.scored = {(row.path, row.digest) for row in log.rows}
        log.rows.clear()  # they take much more memory than what is known of them now

    def run(self, folders: Sequence[Path], look_every: float, wait: Wait) -> None:
        """Looks, scores and waits until `wait` says that it is time to end."""
        before: dict[str, Version] = {}
        for turn in itertools.count():
            now = self._look(folders, turn, before)
            new = [path for path, version in now.items() if version == before.get(path)]
            for path in sorted(new, key=lambda path: (now[path].modified, path)):
                self.take(Path(path), now[path])
                if wait(0):
                    return
            before = now
            if wait(look_every):
                return

    def _look(
        self, folders: Sequence[Path], turn: int, before: Mapping[str, Version]
    ) -> dict[str, Version]:
        """The recordings that hold anything and are not settled, or not as they are now.

        Of those that are settled, a look asks a part, and the next look asks the next part. To ask
        each of them would take most of the time between two looks after some days.
        """
        paths = [path for folder in folders for path in audio_names_below(folder)]
        parts = len(paths) // ASKED_AGAIN + 1
        found = {}
        for i, path in enumerate(paths):
            if path not in self.settled or path in before or i % parts == turn % parts:
                version = version_of(path)
                if version and version.bytes and version != self.settled.get(path):
                    found[path] = version
        return found

    def take(self, path: Path, version: Version) -> None:
        """Scores one recording, or says why it cannot be scored."""
        try:
            digest = digest_of(path)
            if (str(path), digest) in self.scored:  # only its time has changed
                self.settled[str(path)] = version
                return
            result = self._result(path)
        except UserError as error:
            if version_of(path) in (version, None):  # else it was not complete
                self.settled[str(path)] = version
                _say(str(error))
            return
        if version_of(path) in (version, None):
            self._write(result, version, digest)

    def _result(self, path: Path) -> Result:
        if {"\r", "\n"} & {*str(path)}:  # a line that was not written whole could not be told
            raise UserError(f"{str(path)!r}: its name holds a line break; rename it")
        (result,) = self.detector.results([path], self.machine_id)
        if result.error:
            raise result.error
        if result.warning:
            _say(f"warning: {result.warning}")
        if not math.isfinite(result.score):
            raise UserError(f"{path}: its score is not finite; record it again")
        return result

    def _write(self, result: Result, version: Version, digest: str) -> None:
        stream = observe(self.streams[result.machine_id], result.score)
        alarm = is_alarm(stream.log_evidence, self.false_alarm_every)
        row = Row(
            path=str(result.path),
            machine_id=result.machine_id,
            score=result.score,
            p_value=result.p_value,
            decision=int(result.p_value <= self.alpha),
            evidence=stream.log_evidence,
            alarm=int(alarm),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            bytes=version.bytes,
            modified=version.modified,
            digest=digest,
        )
        if alarm:
            self._raise_alarm(row)
        self.log.append(row)
        self.streams[result.machine_id] = after_alarm(stream) if alarm else stream
        self.settled[row.path] = version
        self.scored.add((row.path, digest))

    def _raise_alarm(self, row: Row) -> None:
        told = ("path", "machine_id", "score", "p_value", "decision", "evidence", "time")
        alarm = {name: value for name, value in row._asdict().items() if name in told}
        line = json.dumps(alarm | {"false_alarm_every": self.false_alarm_every}) + "\n"
        print(line, end="", flush=True)
        if not self.command:
            return
        try:
            # In a session of its own: Ctrl-C ends the watch and not the command.
            ended = subprocess.run(
                self.command,
                input=line.encode(),
                stdout=2,  # standard output holds nothing but the JSON lines
                timeout=COMMAND_LIMIT,
                start_new_session=True,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            _say(f"--on_alarm: {' '.join(str(error).split())}")
            return
        if ended.returncode:
            _say(f"--on_alarm: {self.command[0]} ended with status {ended.returncode}")


def _streams(detector: Detector, log: WatchLog) -> dict[str, Stream]:
    """The state of every machine's test after the rows of the CSV."""
    streams = {m: begin(m, detector.normal_scores(m)) for m in detector.known_ids}
    for row in log.rows:
        if row.machine_id in streams:
            stream = observe(streams[row.machine_id], row.score)
            streams[row.machine_id] = after_alarm(stream) if row.alarm else stream
            if math.isclose(stream.log_evidence, row.evidence, rel_tol=1e-6, abs_tol=1e-6):
                continue
        raise UserError(
            f"{log.path}: was written with another model or calibration, from {row.path} on; move "
            "it away, or name another --output"
        )
    return streams


def _command(on_alarm: str | None) -> list[str]:
    """The words of the command; none without one."""
    if on_alarm is None:
        return []
    try:
        words = shlex.split(on_alarm)
    except ValueError as error:
        raise UserError(f"--on_alarm: {error}; check the quotes in {on_alarm}") from error
    if not words or shutil.which(words[0]) is None:
        raise UserError(f"--on_alarm: {on_alarm}: no such command; give its whole path")
    return words


@contextlib.contextmanager
def _signals() -> Iterator[Wait]:
    """Yields a `wait` that SIGTERM and SIGINT end; a second signal acts as it did before."""
    caught = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in caught}
    stopped = False

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        restore()

    def wait(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not stopped and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))  # a handler does not end the sleep
        return stopped

    if threading.current_thread() is not threading.main_thread():
        yield wait  # only the main thread hears signals
        return
    for number in caught:
        signal.signal(number, stop)
    try:
        yield wait
    finally:
        restore()


def _say(text: str) -> None:
    print(f"flowasd: {text}", file=sys.stderr, flush=True)
