"""Reading and writing a run's own files: each has a format version and is validated on reading."""

import json
from pathlib import Path
from typing import Any

from flowasd.errors import UserError
from flowasd.files import write_text

FORMAT = 3  # of all files of a run; raise it when one of them changes


def check_format(path: Path, found: Any, remedy: str) -> None:
    """Raises a `UserError` if a file is of another format.

    Args:
        path: The file.
        found: The format that it has.
        remedy: What to do, as the end of a sentence.
    """
    if found != FORMAT:
        raise UserError(
            f"{path} is of format {found}, which this version of flowasd does not read (it reads "
            f"format {FORMAT}); {remedy}"
        )


def damaged(path: Path, error: Exception | str, remedy: str) -> UserError:
    """Returns the error of a file that cannot be what it should be."""
    return UserError(f"{path}: damaged ({' '.join(str(error).split())}); {remedy}")


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON with the format version."""
    write_text(path, json.dumps({"format": FORMAT} | content, indent=1))


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """Reads what `write_record` wrote.

    Args:
        path: The file.
        remedy: What to do if the file is no good, as the end of a sentence.

    Raises:
        UserError: If the file is missing, damaged or of another format.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; {remedy}") from error
    except (OSError, ValueError) as error:
        raise damaged(path, error, remedy) from error
    if not isinstance(content, dict):
        raise damaged(path, "not an object", remedy)
    check_format(path, content.pop("format", 1), remedy)
    return content
