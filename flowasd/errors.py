"""The exceptions that are meant for people."""


class UserError(Exception):
    """Something the user can mend; `main` prints its message on one line and exits with status 2.

    The message says what was wrong, which file or key, and what to do about it.
    """


class UntoldMachine(UserError):
    """Neither the name of a file nor its folder tells the machine ID, and several are known."""
