"""Whether a header agrees with itself and with what is there; libsndfile believes it.

A FLAC file says how many samples it has, and libsndfile notices where some are missing. In WAV,
RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes) and Sony's W64 are rows of chunks, of which
`data` holds the samples.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from flowasd.errors import UserError

# What recorders and pipes that cannot go back to the header write as the size of the samples. Some
# write it as the size of the file, of which the samples are 36 bytes less.
_UNKNOWN = {0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
_UNKNOWN |= {size - 36 for size in _UNKNOWN}
_LITTLE = 64  # bytes, 2 ms of one channel: a header may be off by so many


class _Chunk(NamedTuple):
    """A chunk.

    Attributes:
        name: Its name.
        start: Where its content begins, in bytes.
        length: Bytes that it promises.
        size_at: Where this number is written, in bytes.
    """

    name: bytes
    start: int
    length: int
    size_at: int


class Told(NamedTuple):
    """What a header tells of the length.

    Attributes:
        size_at: Where in the file the number of bytes of samples is 0 although samples follow, as
            where a recorder has lost its power; libsndfile has to be told. `None` elsewhere.
        length: Whether the number of samples is told; else they reach to the end of the file.
    """

    size_at: int | None = None
    length: bool = True


def check_header(path: Path) -> Told:
    """Checks that a file holds the samples that its header counts, and not many more.

    Args:
        path: A WAV or FLAC file; another one is not looked into.

    Raises:
        UserError: If samples are missing, there are more than the header counts, or it contradicts
            itself.
    """
    size, align = path.stat().st_size, 1
    with path.open("rb") as file:
        for chunk in _chunks(file):
            there = size - chunk.start
            if chunk.name == b"fmt ":
                align = max(1, _block_align(path, file, chunk))
            if chunk.name == b"data":
                return _check_data(path, file, chunk, align)
            if chunk.length > there:
                raise UserError(f"{path}: cut short before its samples begin; fetch it again")
        _check_flac(path, file)
    return Told()


def _check_flac(path: Path, file: BinaryIO) -> None:
    """Refuses FLAC with far more bytes than its samples can take, whatever they are."""
    file.seek(0)
    start = file.read(26)
    if not start.startswith(b"fLaC\0") or len(start) < 26:
        return
    packed = int.from_bytes(start[18:26], "big")  # 20 bits of rate, 3, 5, and 36 of the length
    channels, bits = 1 + (packed >> 41 & 7), 1 + (packed >> 36 & 31)
    n_samples, block = packed & 2**36 - 1, max(16, int.from_bytes(start[8:10], "big"))
    # A channel that is the difference of two has a bit more. A frame begins with 16 bytes at most.
    most = n_samples * channels * (bits + 1) // 8 + (1 + n_samples // block) * (20 + 8 * channels)
    file.seek(4)
    last = False
    while not last and len(header := file.read(4)) == 4:  # of metadata, such as a picture
        last = header[0] > 127
        file.seek(int.from_bytes(header[1:], "big"), 1)
    if n_samples and path.stat().st_size - file.tell() > most + 4096:
        raise UserError(
            f"{path}: its header counts {n_samples} samples, and many more follow; encode it again"
        )


def _check_data(path: Path, file: BinaryIO, data: _Chunk, align: int) -> Told:
    size = path.stat().st_size
    there = size - data.start
    if data.length > there:
        whole = data.length in _UNKNOWN or data.length in (size, size - 8)
        if not whole and data.length // align > there // align:
            raise UserError(f"{path}: cut short, its header promises more samples; fetch it again")
        return Told(length=not whole)
    more = there - data.length
    if more <= _LITTLE:
        return Told()
    file.seek(data.start + data.length)
    if _belongs_there(file.read(4096), more):
        return Told()
    if data.length == 0:
        return Told(data.size_at, length=False)
    raise UserError(
        f"{path}: its header counts {data.length} bytes of samples, and {more} more bytes follow; "
        "repair the header or export it again"
    )


def _belongs_there(after: bytes, more: int) -> bool:
    """Whether what follows the samples is padding, a tag or a chunk, and no samples."""
    after = after if after[:1] != b"\0" else after[1:]  # chunks start at even offsets
    name, length = after[:4], int.from_bytes(after[4:8], "little")
    is_chunk = all(32 <= byte < 127 for byte in name) and length <= more
    return not any(after) or is_chunk or name.startswith((b"LIST", b"ID3", b"TAG"))


def _chunks(file: BinaryIO) -> Iterator[_Chunk]:
    """The chunks of a file up to the samples, none of them if it is no WAV file."""
    kind = file.read(12)[:4]
    if kind == b"riff":
        yield from _w64_chunks(file)
        return
    if kind not in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return
    order, long = ">" if kind == b"RIFX" else "<", None
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            long = int.from_bytes(sizes[8:], "little"), start + 8
        if name == b"data" and length == 0xFFFFFFFF and long is not None:
            yield _Chunk(name, start, *long)
        else:
            yield _Chunk(name, start, length, start - 4)
        file.seek(start + length + length % 2)


def _w64_chunks(file: BinaryIO) -> Iterator[_Chunk]:
    """The same of W64, whose names have 16 bytes and whose sizes have 8 and count themselves."""
    file.seek(40)
    while len(header := file.read(24)) == 24:
        start, length = file.tell(), max(0, int.from_bytes(header[16:], "little") - 24)
        yield _Chunk(header[:4], start, length, start - 8)
        file.seek(start + length + -length % 8)


def _block_align(path: Path, file: BinaryIO, chunk: _Chunk) -> int:
    """Bytes of one sample of all channels.

    Raises:
        UserError: If these are too few for the channels and the bits that the header tells.
    """
    file.seek(chunk.start)
    content = file.read(min(16, chunk.length)).ljust(16, b"\0")
    big = content[:1] == b"\0" and content[1:2] != b"\0"  # the format's number is below 256
    _, channels, _, _, align, bits = struct.unpack(">HHIIHH" if big else "<HHIIHH", content)
    if 0 < align < channels * -(-bits // 8):
        raise UserError(
            f"{path}: its header tells {channels} channels of {bits} bits, in {align} bytes; "
            "correct it, or export it again"
        )
    return align
