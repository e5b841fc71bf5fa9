"""What a process holds at a moment: memory, open files, threads, compiled programs."""

import gc
import os
from pathlib import Path
from typing import NamedTuple

import jax

MORE = 0.05  # of the memory before: what a process may take more, later


class State(NamedTuple):
    """What a process holds.

    Attributes:
        memory: Resident memory in MiB.
        files: Open file descriptors.
        threads: Threads of the operating system.
        programs: Programs that XLA has compiled since `Watched` was made.
    """

    memory: float
    files: int
    threads: int
    programs: int


class Watched:
    """Looks at this process; Linux tells it in /proc."""

    def __init__(self):
        self._compiled = list[str]()
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def now(self) -> State:
        """Returns what the process holds now, without garbage."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files, threads = (len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task"))
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return State(memory, files - 1, threads, len(self._compiled))  # less that of listing

    def close(self) -> None:
        """Counts programs no longer."""
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: object) -> None:
        if "backend_compile" in event:
            self._compiled.append(event)


def grown(before: State, after: State) -> list[str]:
    """Names what has grown: memory by more than `MORE`, or anything else at all."""
    allowed = before._replace(memory=before.memory * (1 + MORE))
    return [name for name in State._fields if getattr(after, name) > getattr(allowed, name)]


def table(states: dict[str, State]) -> str:
    """Returns the states as Markdown, a row each."""
    lines = ["| | memory, MiB | open files | threads | programs |", "|---|---|---|---|---|"]
    lines += [
        f"| {when} | {s.memory:.0f} | {s.files} | {s.threads} | {s.programs} |"
        for when, s in states.items()
    ]
    return "\n".join(lines)
