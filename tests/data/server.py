"""A server on this machine that holds files, and fails as real ones do."""

import hashlib
import http.server
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple, cast


class Answer(NamedTuple):
    """How the server answers one request; by default as it should.

    Attributes:
        status: An error, or `None`.
        headers: More headers, or other ones; one that is empty is not sent.
        limit: Number of bytes after which the connection is cut, or -1 for no answer at all.
        ranges: Whether a part may be asked for.
        shift: By how many bytes the part begins too late.
        content: Other bytes than those of the file.
        hold: What to wait for after `limit` bytes.
    """

    status: int | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    limit: int | None = None
    ranges: bool = True
    shift: int = 0
    content: bytes | None = None
    hold: threading.Event | None = None


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`, by path; the answers to the first requests are `answers`.

    Attributes:
        asked: The path, the range and the user agent of every request.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.answers: deque[Answer] = deque()
        self.asked: list[tuple[str, str | None, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def ranges(self) -> list[str | None]:
        """The ranges that were asked for, one a request."""
        return [asked for _, asked, _ in self.asked]

    def publish(self, record: int, files: dict[str, bytes], **changes: Any) -> None:
        """Serves a record as Zenodo does; `changes` are untrue words about every file."""
        listed = []
        for name, content in files.items():
            self.files[f"/records/{record}/files/{name}"] = content
            checksum = f"md5:{hashlib.md5(content).hexdigest()}"
            entry = {"key": name, "size": len(content), "checksum": checksum}
            listed.append(entry | {"id": "0", "links": {"self": "not used"}} | changes)
        document = {"id": record, "metadata": {"title": "a record"}, "files": listed}
        self.files[f"/api/records/{record}"] = json.dumps(document).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = cast(Server, self.server), self.headers["Range"]
        path = self.path.removesuffix("?download=1")
        server.asked.append((path, asked, self.headers["User-Agent"]))
        answer = server.answers.popleft() if server.answers else Answer()
        if answer.limit == -1:
            self._reset()
            return
        content = server.files.get(path) if answer.content is None else answer.content
        status = answer.status or (404 if content is None else 200)
        if content is None or status != 200:
            self._begin(status, {"Content-Length": "0", **answer.headers})
            return
        headers, first = {}, 0
        if asked and answer.ranges:
            first = int(asked.removeprefix("bytes=").removesuffix("-")) + answer.shift
            status = 206
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        headers |= answer.headers
        self._begin(status, {"Content-Length": str(len(content) - first), **headers})
        self.wfile.write(content[first:][: answer.limit])
        if answer.hold:
            self.wfile.flush()
            answer.hold.wait(60)

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _reset(self) -> None:
        """Ends the connection without a word, so that the other side gets an error."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def finish(self):
        try:
            super().finish()
        except OSError:  # the client has gone
            self.connection.close()

    def log_message(self, format, *args):
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """Runs a server while the block runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
