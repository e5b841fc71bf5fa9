"""The exceptions that are meant for people."""

from collections.abc import Sequence


class UserError(Exception):
    """Something the user can mend; `main` prints its message on one line and exits with status 2.

    The message says what was wrong, which file or key, and what to do about it.
    """


class UntoldMachine(UserError):
    """Neither the name of a file nor its folder tells the machine ID, and several are known."""


def in_one_line(untold: Sequence[UntoldMachine]) -> str:
    """Returns one line for all files that tell no machine ID: their number, and the first one.

    Args:
        untold: The error of every such file; there is one at least.
    """
    such = f"{len(untold)} files tell no machine ID, such as " if len(untold) > 1 else ""
    return f"{such}{untold[0]}"
