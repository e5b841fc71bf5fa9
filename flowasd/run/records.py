"""Reading and writing a run's own files: each has a format version and is validated on reading.

A JSON file has a digest of its content in it, and a zip file has checksums of its own, so no
changed bit is taken for what was written.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from flowasd.errors import UserError
from flowasd.files import write_bytes, write_text

Content = TypeVar("Content")

FORMAT = 7  # of all files of a run; raise it when one of them changes


class Damaged(UserError):
    """A file is not what was written."""


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


def damaged(path: Path, error: Exception | str, remedy: str) -> Damaged:
    """Returns the error of a file that cannot be what it should be."""
    return Damaged(f"{path}: damaged ({' '.join(str(error).split())}); {remedy}")


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what can be written as JSON, with the format version and a digest."""
    versioned = json.loads(json.dumps({"format": FORMAT} | dict(content)))  # as it will be read
    return versioned | {"digest": _digest(versioned)}


def unsealed(path: Path, content: Any, remedy: str) -> dict[str, Any]:
    """Returns what `sealed` was given.

    Args:
        path: The file, or the folder, that an error names.
        content: What was read.
        remedy: What to do if it is no good, as the end of a sentence.

    Raises:
        UserError: If it is of another format.
        Damaged: If it is not what was written.
    """
    if not isinstance(content, dict):
        raise damaged(path, "not an object", remedy)
    check_format(path, content.get("format", 1), remedy)
    if content.pop("digest", None) != _digest(content):
        raise damaged(path, "its content is not what was written", remedy)
    return {name: value for name, value in content.items() if name != "format"}


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON with the format version and a digest."""
    write_text(path, json.dumps(sealed(content), indent=1))


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
    return unsealed(path, content, remedy)


def write_arrays(path: Path, arrays: Mapping[str, Any], key: str) -> None:
    """Writes arrays as one compressed npz file, with the format version.

    Args:
        path: The file.
        arrays: The arrays by name.
        key: Digest of all that they depend on.
    """
    file = io.BytesIO()
    np.savez_compressed(file, **arrays, format=FORMAT, key=key)
    write_bytes(path, file.getvalue())


def read_arrays(
    path: Path,
    key: str | None,
    remedy: str,
    build: Callable[[Mapping[str, np.ndarray]], Content],
) -> Content:
    """Reads what `write_arrays` wrote.

    Args:
        path: The file.
        key: The key that it must have been written with; `None` if any will do.
        remedy: What to do if the file is no good, as the end of a sentence.
        build: Makes the content of the arrays.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it is damaged, of another format, or written with another key.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            check_format(path, int(arrays["format"]) if "format" in arrays else 1, remedy)
            stored, content = str(arrays["key"]), build(arrays)
    except (FileNotFoundError, UserError):
        raise
    except Exception as error:  # numpy and zipfile raise all kinds of exceptions on damaged files
        raise damaged(path, error, remedy) from error
    if key is not None and stored != key:
        raise UserError(
            f"{path} was made for another step or with another --config.score.folds or "
            f"another --config.score.hop; {remedy}"
        )
    return content
