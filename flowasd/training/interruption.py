"""Ending a training at the next step where it can be saved, when a signal asks for it."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import jax

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Notes the first SIGTERM or Ctrl-C; the second one does what it usually does.

    Attributes:
        asked: The signal that has come; `None` if none has.
    """

    def __init__(self):
        self.asked: int | None = None
        self._usual: dict[int, Any] = {}

    def listen(self) -> None:
        """Takes the place of the handlers."""
        self._usual = {number: signal.signal(number, self._note) for number in SIGNALS}

    def _note(self, number: int, frame: object) -> None:
        self.asked = number
        self.restore()

    def restore(self) -> None:
        """Puts the handlers back."""
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def leave(self) -> NoReturn:
        """Ends the command, as the signal asks: with status 130 or 143."""
        if self.asked == signal.SIGINT:
            raise KeyboardInterrupt
        print("flowasd: terminated; the same command goes on", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Notes signals while the block runs.

    It notes none in a thread, which gets no signals, and none in one of several processes, which
    would have to save together.
    """
    noted = Interruption()
    if threading.current_thread() is threading.main_thread() and jax.process_count() == 1:
        noted.listen()
    try:
        yield noted
    finally:
        noted.restore()
