"""One side of a comparison: a process of its own, which another one asks to do things in turn.

So neither side sees the threads, the memory or the imports of the other, and both are warm all the
while. `python -m experiments.speed.side module:function ARGUMENTS` is what runs in that process.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Tasks = Mapping[str, Callable[[], Any]]


class Absent(Exception):
    """A side whose library is not installed."""


class Side:
    """A process that has called a function, and now runs the tasks which that returned.

    Args:
        function: `module:function`; it returns `Tasks`.
        *arguments: Its arguments, as JSON can carry them.
        environment: Environment variables of the process; without them, our own.

    Raises:
        Absent: If the module cannot be imported.
    """

    def __init__(
        self, function: str, *arguments: Any, environment: Mapping[str, str] | None = None
    ):
        command = [sys.executable, "-m", __name__, function, json.dumps(arguments)]
        # Warnings and progress bars, shown if it fails; closed with the process
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
        )
        self._answer()

    def seconds(self, task: str) -> float:
        """Runs a task and returns how long it took."""
        return self._ask(task)["seconds"]

    def value(self, task: str) -> Any:
        """Runs a task and returns what it returned."""
        return self._ask(task)["value"]

    def peak_mib(self) -> float:
        """The most memory that the process has held so far."""
        return self._ask("")["peak_mib"]

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()
        self.errors.close()

    def _ask(self, task: str) -> dict[str, Any]:
        assert self.process.stdin
        print(task, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            errors = self.errors.read()
            self.close()
            raise RuntimeError(f"{self.process.args} failed:\n{errors}")
        answer = json.loads(line)
        if "absent" in answer:
            self.close()
            raise Absent(answer["absent"])
        return answer


def open_sides(functions: Mapping[str, str], *arguments: Any) -> dict[str, Side]:
    """The sides whose libraries are installed; the others are named and left out."""
    sides = {}
    for name, function in functions.items():
        try:
            sides[name] = Side(function, *arguments)
        except Absent as absent:
            print(f"{name} is left out: {absent}", file=sys.stderr)
    return sides


def interleaved(sides: Mapping[str, Side], task: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of a task on every side, in the order A B A B, after one round to warm up."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(rounds + 1):
        for name, side in sides.items():
            seconds = side.seconds(task)
            if round_:
                measured[name].append(seconds)
    return measured


def threads() -> int:
    """Threads that a process may use: XLA takes as many, and the peers are given as many."""
    return len(os.sched_getaffinity(0))


def serve(function: str, arguments: Sequence[Any]) -> None:
    """Runs the tasks that are asked for on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    module, name = function.split(":")
    try:
        tasks: Tasks = getattr(importlib.import_module(module), name)(*arguments)
    except ModuleNotFoundError as error:
        answer(absent=str(error))
        return
    answer()
    for line in sys.stdin:
        if task := line.strip():
            start = time.perf_counter()
            value = tasks[task]()
            seconds = time.perf_counter() - start
            answer(seconds=seconds, value=value)
        else:
            answer(peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
