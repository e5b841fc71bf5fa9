"""How every command line ends: what the user can mend is one line and exit status 2."""

import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from flowasd.errors import UserError
from flowasd.run.compile_cache import keep_compiled
from flowasd.training import parallel


def run_command(main: Callable[[], int | None], name: str) -> None:
    """Parses the flags, runs a main function, and exits with the status that it returns.

    A `UserError`, an `OSError` and wrong flags end as one line and status 2, an interruption as
    one line and status 130.

    Args:
        main: Takes its arguments from the flags; it returns 0 or `None` if all went well.
        name: What the line of an error begins with.
    """
    logging.set_verbosity(logging.ERROR)
    keep_compiled()
    try:
        app.run(lambda _: main() or 0, flags_parser=_parse_flags)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        parallel.leave(2)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; a run goes on from its last checkpoint", file=sys.stderr)
        parallel.leave(130)


def _parse_flags(argv: Sequence[str]) -> Sequence[str]:
    """Parses the flags; a wrong one, or a config that does not load, is a `UserError`."""
    try:
        rest = flags.FLAGS(argv)
        if "config" in flags.FLAGS and (config := flags.FLAGS["config"].value) is not None:
            config.seed  # noqa: B018  a config that did not load says so when it is used
    except (flags.Error, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error
    except (ImportError, NameError, OSError, SyntaxError) as error:
        raise UserError(f"the config does not load: {' '.join(str(error).split())}") from error
    if len(rest) > 1:
        raise UserError(f"not a flag: {' '.join(rest[1:])}")
    return rest
