"""The command line, as `flowasd` and as `python -m flowasd.main`.

    flowasd score runs/slider recordings/
    python -m flowasd.main --mode=score --workdir=runs/slider --input=recordings/

The two commands are the same. `modes.py` has the modes and `arguments.py` has the flags.
"""

from functools import partial

from absl import flags

from flowasd.arguments import arguments, define_flags, help_page, take_words
from flowasd.command_line import run_command
from flowasd.modes import MODES

define_flags(MODES)


def main() -> int | None:
    """Runs one mode and returns the exit status."""
    return MODES[flags.FLAGS.mode].run(arguments())


def run() -> None:
    """Runs `main` on the command's flags and exits."""
    words, page = partial(take_words, modes=MODES), partial(help_page, modes=MODES)
    run_command(main, "flowasd", words, page)


if __name__ == "__main__":
    run()
