"""The features of a data set: computed once, clip by clip, and kept on disk.

A clip's features are a file in the cache folder, named by the digest of the recording's content
below a folder named by the front-end's settings. A replaced or added recording is computed anew,
a moved or renamed one is not. Every file ends with a digest of its own, so a damaged one is
noticed and computed again.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from flowasd.data.source import DataConfig, Source
from flowasd.data.suspicious import Suspicious
from flowasd.errors import UserError
from flowasd.features.frontend import FrontendConfig
from flowasd.features.hearing import ANY, Heard, hear
from flowasd.files import Scratch, read_ahead, write_bytes

FORMAT = 6  # part of the folder's name; raise it when the features of the same clip change
DIGEST = 32  # bytes of a digest in a file


class UnusableRecordings(UserError):
    """Recordings that cannot be decoded or cannot be judged.

    Attributes:
        paths: The files.
        suspicious: Whether all of them can be decoded.
    """

    def __init__(self, text: str, paths: Collection[Path], suspicious: bool):
        super().__init__(text)
        self.paths, self.suspicious = paths, suspicious


@dataclass(frozen=True)
class Features:
    """Bands of some clips in dB.

    Attributes:
        paths: The cache's file of every clip.
        n_frames: Number of frames of every clip.
        n_bands: Number of bands.
        recordings: Digest of the samples of every clip.
        scratch: Temporary folder that holds the files, if the cache cannot be written; it goes
            when no features refer to it any more.
    """

    paths: tuple[Path, ...]
    n_frames: Int[np.ndarray, " clip"]
    n_bands: int
    recordings: tuple[str, ...]
    scratch: Scratch | None = None

    @property
    def nbytes(self) -> int:
        """Size of these clips in memory, in bytes."""
        return int(self.n_frames.sum()) * self.n_bands * 4

    def frames(self, i: int, first: int, count: int) -> Float[np.ndarray, "_ band"]:
        """Reads consecutive frames of a clip, and nothing else of its file."""
        offset = 4 * first * self.n_bands
        values = np.fromfile(self.paths[i], np.float32, count * self.n_bands, offset=offset)
        return values.reshape(count, self.n_bands)

    def clip(self, i: int) -> Float[np.ndarray, "_ band"]:
        """Reads the bands of a clip."""
        return self.frames(i, 0, int(self.n_frames[i]))

    def clips(self) -> list[Float[np.ndarray, "_ band"]]:
        """Returns the bands of every clip."""
        return [self.clip(i) for i in range(len(self.paths))]

    def some(self, chosen: Sequence[int]) -> "Features":
        """Returns the features of some of the clips."""
        paths = tuple(self.paths[i] for i in chosen)
        recordings = tuple(self.recordings[i] for i in chosen)
        n_frames = self.n_frames[np.asarray(chosen, np.int64)]
        return Features(paths, n_frames, self.n_bands, recordings, self.scratch)


def source_features(
    source: Source, frontend: FrontendConfig, data: DataConfig
) -> tuple[Source, dict[str, Features]]:
    """Returns the features of every split, and the source without the clips that are left out.

    All files are read in one go, so that one error lists every bad recording. Bad recordings of a
    test set are left out with a warning: nothing is learnt from them.

    Raises:
        UserError: If other recordings cannot be used; the message lists all of them.
    """
    paths = sorted(clip.path for clips in source.splits.values() for clip in clips)
    tested = set() if source.withheld else {clip.path for clip in source.splits.get("test", ())}
    try:
        paths, features = usable_features(paths, frontend, data)
    except UnusableRecordings as error:
        if not tested > {*error.paths}:
            raise
        warnings.warn(f"{error}\nThey are left out of the test.", stacklevel=1)
        paths = [path for path in paths if path not in error.paths]
        paths, features = usable_features(paths, frontend, data)
    place = {path: i for i, path in enumerate(paths)}
    splits = {
        split: tuple(clip for clip in clips if clip.path in place)
        for split, clips in source.splits.items()
    }
    parts = {s: features.some([place[clip.path] for clip in own]) for s, own in splits.items()}
    return source._replace(splits=splits), parts


def usable_features(
    paths: Sequence[Path], frontend: FrontendConfig, data: DataConfig
) -> tuple[Sequence[Path], Features]:
    """Returns the files that can be used, and their features.

    Suspicious recordings are left out with a warning where `data.suspicious` says so.

    Raises:
        UserError: As `cached_features` does.
    """
    try:
        return paths, cached_features(paths, frontend, data.cache_folder, data)
    except UnusableRecordings as error:
        left_out = data.suspicious == "warn" and error.suspicious
        if not left_out or len(error.paths) == len(paths):
            raise
        warnings.warn(f"{error}\nThey are left out.", stacklevel=2)
        paths = [path for path in paths if path not in error.paths]
        return paths, cached_features(paths, frontend, data.cache_folder, data)


def cached_features(
    paths: Sequence[Path], frontend: FrontendConfig, cache: Path, data: DataConfig = ANY
) -> Features:
    """Returns the features of files, of which it computes those that the cache does not hold.

    Where the cache cannot be written, the features are in a temporary folder, with a warning.

    Args:
        paths: The files.
        frontend: Settings of the front-end.
        cache: Folder of the cache.
        data: Says which files are too long or suspicious.

    Raises:
        UserError: If recordings cannot be used; the message lists all of them.
    """
    settings = json.dumps([FORMAT, asdict(frontend)], sort_keys=True)
    folder = cache / "features" / hashlib.sha256(settings.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        warnings.warn(f"features are not cached: {error}", stacklevel=2)
        scratch = Scratch()
        return _features(paths, frontend, data, scratch.path, scratch)
    return _features(paths, frontend, data, folder, None)


def kept_features(heard: Sequence[Heard], frontend: FrontendConfig) -> Features:
    """Returns the features of what was heard, in a temporary folder."""
    scratch = Scratch()
    paths = tuple(scratch.path / f"{i:08d}.bands" for i in range(len(heard)))
    kept = [_write_entry(path, own) for path, own in zip(paths, heard, strict=True)]
    n_frames = np.array([n for n, _ in kept], np.int64)
    return Features(paths, n_frames, frontend.n_bands, tuple(r for _, r in kept), scratch)


def _features(
    paths: Sequence[Path],
    frontend: FrontendConfig,
    data: DataConfig,
    folder: Path,
    scratch: Scratch | None,
) -> Features:
    # What is heard in spite of a suspicion is not there for those who refuse it.
    kind = "kept" if data.suspicious == "keep" else "bands"
    kind += str(data.channel or "")
    entries = [folder / f"{digest}.{kind}" for digest in read_ahead(_content, paths, 16)]
    check = partial(_check_entry, n_bands=frontend.n_bands)
    found = dict(zip(entries, read_ahead(check, entries, 16), strict=True))
    missing = {path: e for e, path in zip(entries, paths, strict=True) if found[e] is None}
    errors: dict[Path, UserError] = {}
    heard = hear(list(missing), frontend, data)
    hidden = None if missing else True  # None: shown on a terminal
    for path, result in tqdm(heard, "features", len(missing), unit="clip", disable=hidden):
        if isinstance(result, UserError):
            errors[path] = result
        else:
            found[missing[path]] = _write_entry(missing[path], result)
    if errors:
        listed = "".join(f"\n  {error}" for error in errors.values())
        text = f"{len(errors)} of {len(paths)} recordings cannot be used:{listed}"
        suspicious = all(isinstance(error, Suspicious) for error in errors.values())
        raise UnusableRecordings(text, errors.keys(), suspicious)
    kept = [entry for entry in (found[e] for e in entries) if entry is not None]
    n_frames = np.array([n for n, _ in kept], np.int64)
    recordings = tuple(recording for _, recording in kept)
    return Features(tuple(entries), n_frames, frontend.n_bands, recordings, scratch)


def _content(path: Path) -> str:
    """The digest of a file's bytes; a file that cannot be read gets one of its path."""
    try:
        if not path.is_file():
            raise FileNotFoundError(path)  # nobody knows when a pipe ends
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # decoding says what is wrong, in one list with other bad files
        return hashlib.sha256(str(path.absolute()).encode(errors="surrogateescape")).hexdigest()


def _write_entry(path: Path, heard: Heard) -> tuple[int, str]:
    """Writes the bands as float32, then the recording's digest, then a digest of both."""
    content = heard.bands.astype(np.float32).tobytes() + bytes.fromhex(heard.recording)
    # A half file is noticed by its digest, and there may be many files.
    write_bytes(path, content + hashlib.sha256(content).digest(), sync=False)
    return len(heard.bands), heard.recording


def _check_entry(path: Path, n_bands: int) -> tuple[int, str] | None:
    """The number of frames and the recording's digest of an entry; `None` if missing or damaged."""
    if not path.exists():
        return None
    content = path.read_bytes()
    whole, own = content[:-DIGEST], content[-DIGEST:]
    if hashlib.sha256(whole).digest() != own:
        return None
    return (len(whole) - DIGEST) // (4 * n_bands), whole[-DIGEST:].hex()
