"""How every command line begins and ends: `~` in paths, help, and errors on one line."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from absl import app, flags, logging

from flowasd.errors import UserError

STATUSES = """Exit status:
  0    all went well
  1    something could not be scored or trained, or the reader of the output has gone
  2    wrong use or bad input; one line on standard error says what to do
  130  interrupted; the same command goes on
  143  terminated; the same command goes on"""

HELP = {"--help", "-help", "-h", "--helpshort", "-helpshort"}


def no_words(words: Sequence[str]) -> None:
    """Raises a `UserError` if a command has words that belong to no flag."""
    if words:
        raise UserError(f"not a flag: {' '.join(words)}")


def run_command(
    main: Callable[[], int | None],
    name: str,
    take_words: Callable[[Sequence[str]], None] = no_words,
    help_page: Callable[[Sequence[str]], str] | None = None,
    *,
    compiles: bool = True,
) -> None:
    """Parses the flags, runs a main function, and exits with the status that it returns.

    A `UserError`, an `OSError` and wrong flags end as one line and status 2, an interruption as
    one line and status 130. Nothing that takes long is imported before the flags are parsed.

    Args:
        main: Takes its arguments from the flags; it returns 0 or `None` if all went well.
        name: What the line of an error begins with.
        take_words: Puts the words that belong to no flag into flags; by default they are refused.
        help_page: Makes the page of `--help` from the command's arguments; by default it lists
            all flags.
        compiles: Whether the command uses JAX, whose compiled programs are then kept.
    """
    logging.set_verbosity(logging.ERROR)
    warnings.formatwarning = lambda message, *_: f"{name}: warning: {message}\n"
    parser = partial(_parse_flags, take_words=take_words, help_page=help_page)
    try:
        app.run(lambda _: _run(main, compiles), flags_parser=parser)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        _leave(2)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command goes on", file=sys.stderr)
        _leave(130)


def expanded(argument: str) -> str:
    """Replaces a `~` at the beginning of a path, which a shell leaves in `--workdir=~/runs`."""
    name, equals, value = argument.partition("=")
    if equals and name.startswith("-"):
        return name + equals + os.path.expanduser(value)
    return os.path.expanduser(argument)


def _run(main: Callable[[], int | None], compiles: bool) -> int:
    if compiles:
        from flowasd.compiling import keep_compiled  # imports JAX, which takes a second

        keep_compiled()
    return main() or 0


def _leave(status: int) -> NoReturn:
    """Exits; where JAX has joined other processes, they are told by `parallel.leave`."""
    if parallel := sys.modules.get("flowasd.training.parallel"):  # else none was joined
        parallel.leave(status)
    sys.exit(status)


def _parse_flags(
    argv: Sequence[str],
    take_words: Callable[[Sequence[str]], None],
    help_page: Callable[[Sequence[str]], str] | None,
) -> Sequence[str]:
    """Parses the flags; a wrong one, or a config that does not load, is a `UserError`."""
    if HELP & set(argv):
        if help_page is None:
            app.usage(shorthelp=True, writeto_stdout=True)
        else:
            print(help_page(argv[1:]))
        sys.exit(0)  # absl's own help ends with 1
    try:
        program, *words = flags.FLAGS([argv[0], *map(expanded, argv[1:])])
        if "config" in flags.FLAGS and (config := flags.FLAGS["config"].value) is not None:
            config.seed  # noqa: B018  a config that did not load says so when it is used
    except (flags.Error, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error
    except (ImportError, NameError, OSError, SyntaxError) as error:
        raise UserError(f"the config does not load: {' '.join(str(error).split())}") from error
    take_words(words)
    return [program]
