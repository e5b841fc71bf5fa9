"""Fetching over HTTP: what was cut off goes on, what fails for a while is tried again.

A server that is busy (403, 429 and 5xx) or cuts the connection is asked six times in all, after
longer and longer waits, or after the time that its `Retry-After` names.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import sleep
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

import flowasd
from flowasd.errors import UserError
from flowasd.files import require_space, writing

CHUNK = 1 << 20  # bytes
TIMEOUT = 60.0  # seconds without a byte
WAITS = (2.0, 4.0, 8.0, 16.0, 32.0)  # seconds between the tries
LONGEST_WAIT = 300.0  # seconds, whatever the server asks for

Result = TypeVar("Result")


class _PassingError(Exception):
    """A failure that may be over when the server is asked again.

    Attributes:
        wait: Seconds after which the server wants to be asked again, or 0.
    """

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def fetch_json(url: str) -> Any:
    """Fetches a JSON document.

    Raises:
        UserError: If the server cannot be reached, does not answer, or answers otherwise.
    """

    def attempt() -> bytes:
        with _open(url) as response:
            return _read(response)

    try:
        return json.loads(_persist(attempt, url))
    except ValueError as error:
        raise UserError(f"{url}: the answer is not JSON; try later") from error


def fetch_file(url: str, path: Path, size: int, md5: str) -> None:
    """Fetches what a file lacks. A file that is not what it should be is removed.

    Args:
        url: The address.
        path: The file, which may hold the first part already.
        size: The number of bytes of the whole file.
        md5: Its checksum, in hexadecimal digits.

    Raises:
        UserError: If the server cannot be reached, does not answer or sends other bytes, or if the
            disk has no room for them.
    """
    if _size(path) > size:
        path.unlink()  # it is some other file
    require_space(path.parent, size - _size(path))
    if _size(path) < size:
        _persist(lambda: _go_on(url, path, size), url)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        path.unlink()
        raise UserError(f"{url}: MD5 is {found}, not {md5}; the file was removed, fetch it again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _go_on(url: str, path: Path, size: int) -> None:
    """Fetches the rest of a file, once."""
    have = _size(path)
    with _open(url, have) as response:
        if response.status != 206:  # the whole file, asked for or not
            have = 0
        elif not re.match(rf"bytes {have}-", response.headers.get("Content-Range", "")):
            path.unlink()
            raise _PassingError("it sends another part than it was asked for")
        with (
            writing(path),
            path.open("ab" if have else "wb") as file,
            tqdm(
                desc=path.name,
                total=size,
                initial=have,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as bar,
        ):
            while chunk := _read(response, CHUNK):
                bar.update(file.write(chunk))
                if file.tell() > size:
                    break  # the checksum says what is wrong
    if _size(path) < size:
        raise _PassingError("the connection was cut off")


def _open(url: str, first: int = 0) -> HTTPResponse:
    """Asks for a file, from a byte on."""
    headers = {"User-Agent": f"flowasd/{flowasd.__version__}"}
    if first:
        headers["Range"] = f"bytes={first}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code in (403, 429) or error.code >= 500:
            raise _PassingError(str(error), _asked_wait(error)) from error
        raise UserError(f"{url}: cannot be fetched ({error})") from error
    except URLError as error:
        raise UserError(f"{url}: cannot be reached ({error.reason}); repeat the command") from error
    except (OSError, HTTPException) as error:
        raise _PassingError(str(error) or type(error).__name__) from error


def _read(response: HTTPResponse, size: int | None = None) -> bytes:
    """Reads some bytes of an answer, or all of it."""
    try:
        return response.read(size)
    except (OSError, HTTPException) as error:
        raise _PassingError(str(error) or type(error).__name__) from error


def _asked_wait(error: HTTPError) -> float:
    """Returns the seconds of a `Retry-After`, which is a number or a date; 0 without one."""
    text = error.headers.get("Retry-After", "")
    try:
        wait = float(text) if text.isdecimal() else _seconds_until(text)
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT)


def _seconds_until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def _persist(attempt: Callable[[], Result], url: str) -> Result:
    """Tries until it succeeds, six times at most."""
    for wait in WAITS:
        try:
            return attempt()
        except _PassingError as error:
            seconds = max(wait, error.wait)
            if sys.stderr.isatty():
                print(f"flowasd: {url}: {error}; next try in {seconds:.0f} s", file=sys.stderr)
            sleep(seconds)
    try:
        return attempt()
    except _PassingError as error:
        raise UserError(
            f"{url}: cannot be fetched ({error}, {len(WAITS) + 1} times); repeat the command later"
        ) from error
