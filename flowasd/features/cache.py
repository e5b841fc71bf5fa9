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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from flowasd.data.audio import read_all
from flowasd.data.source import Source
from flowasd.errors import UserError
from flowasd.features.frontend import FrontendConfig, bands
from flowasd.files import Scratch, read_ahead, write_bytes

CLIPS_PER_BATCH = 4  # the overlapping frames of four of ten seconds, 5 to 12 MB, stay in the cache
LONG = 30  # seconds; longer clips are computed one at a time, which bounds memory
FORMAT = 5  # part of the folder's name; raise it when the features of the same clip change
DIGEST = 32  # bytes of a digest in a file

Bands = Float[np.ndarray, "time band"]


class Heard(NamedTuple):
    """A recording as the front-end hears it.

    Attributes:
        bands: Its bands in dB.
        samples: Its samples at the front-end's rate.
    """

    bands: Bands
    samples: Float[np.ndarray, " samples"]

    @property
    def recording(self) -> str:
        """Digest of its samples, the same for every file that decodes to them."""
        return hashlib.sha256(self.samples.tobytes()).hexdigest()


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


def hear(
    paths: Sequence[Path], frontend: FrontendConfig
) -> Iterator[tuple[Path, Heard | UserError]]:
    """Decodes files and computes their bands, as `hear_samples` does."""
    return hear_samples(read_all(paths, frontend.sample_rate), frontend)


def hear_samples(
    clips: Iterable[tuple[Path, Float[np.ndarray, " _"] | UserError]], frontend: FrontendConfig
) -> Iterator[tuple[Path, Heard | UserError]]:
    """Computes the bands of clips, a batch at a time.

    Args:
        clips: The name of every clip, with its samples at the front-end's rate or with an error.
        frontend: Settings of the front-end.

    Yields:
        Every name with what was heard, or with the error, in order.
    """
    batch: list[tuple[Path, np.ndarray | UserError]] = []
    for path, samples in clips:
        is_long = not isinstance(samples, UserError) and len(samples) > LONG * frontend.sample_rate
        if is_long or len(batch) == CLIPS_PER_BATCH:
            yield from _heard(batch, frontend, CLIPS_PER_BATCH)
            batch = []
        if is_long:
            yield from _heard([(path, samples)], frontend, 1)
        else:
            batch.append((path, samples))
    yield from _heard(batch, frontend, CLIPS_PER_BATCH)


def compute_bands(
    clips: Sequence[Float[np.ndarray, "_"]], frontend: FrontendConfig, rows: int
) -> list[Float[np.ndarray, "_ band"]]:
    """Computes the bands in dB of at most `rows` clips.

    Clips are padded to whole seconds, so that clips of about one length share one compiled
    function. The frames of the padding are cut off again.

    Args:
        clips: Samples at the front-end's rate; there is one clip at least.
        frontend: Settings of the front-end.
        rows: Clips that the compiled function takes.
    """
    second = frontend.sample_rate
    longest = max(-(-len(samples) // second) * second for samples in clips)
    padded = np.zeros((rows, longest), np.float32)
    for row, samples in zip(padded, clips, strict=False):
        row[: len(samples)] = samples
    n_samples = np.array([len(s) for s in clips] + [1] * (rows - len(clips)), np.int32)
    frames = np.asarray(bands(padded, n_samples, frontend))
    return [
        own[: frontend.n_frames(len(samples))] for own, samples in zip(frames, clips, strict=False)
    ]


def hear_all(paths: Sequence[Path], frontend: FrontendConfig) -> Iterator[Heard]:
    """The same of files that must all be readable.

    Raises:
        UserError: The error of the first file that is not.
    """
    for _, result in tqdm(hear(paths, frontend), "hear", len(paths), unit="file", disable=None):
        if isinstance(result, UserError):
            raise result
        yield result


def _heard(
    batch: Sequence[tuple[Path, np.ndarray | UserError]], frontend: FrontendConfig, rows: int
) -> Iterator[tuple[Path, Heard | UserError]]:
    clips = [samples for _, samples in batch if not isinstance(samples, UserError)]
    computed = iter(compute_bands(clips, frontend, rows) if clips else ())
    for path, samples in batch:
        if isinstance(samples, UserError):
            yield path, samples
            continue
        frames = next(computed)
        if np.isfinite(frames).all():
            yield path, Heard(frames, samples)
        else:
            yield path, UserError(f"{path}: samples are too large to be audio")


def source_features(source: Source, frontend: FrontendConfig, cache: Path) -> dict[str, Features]:
    """Returns the features of every split.

    All files are read in one go, so that one error lists every bad recording.

    Raises:
        UserError: If recordings cannot be used; the message lists all of them.
    """
    paths = sorted(clip.path for clips in source.splits.values() for clip in clips)
    place = {path: i for i, path in enumerate(paths)}
    features = cached_features(paths, frontend, cache)
    return {
        split: features.some([place[clip.path] for clip in clips])
        for split, clips in source.splits.items()
    }


def cached_features(paths: Sequence[Path], frontend: FrontendConfig, cache: Path) -> Features:
    """Returns the features of files, of which it computes those that the cache does not hold.

    Where the cache cannot be written, the features are in a temporary folder, with a warning.

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
        return _features(paths, frontend, scratch.path, scratch)
    return _features(paths, frontend, folder, None)


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
    folder: Path,
    scratch: Scratch | None,
) -> Features:
    entries = [folder / f"{digest}.bands" for digest in read_ahead(_content, paths, 16)]
    check = partial(_check_entry, n_bands=frontend.n_bands)
    found = dict(zip(entries, read_ahead(check, entries, 16), strict=True))
    missing = {path: e for e, path in zip(entries, paths, strict=True) if found[e] is None}
    errors: list[UserError] = []
    heard = hear(list(missing), frontend)
    hidden = None if missing else True  # None: shown on a terminal
    for path, result in tqdm(heard, "features", len(missing), unit="clip", disable=hidden):
        if isinstance(result, UserError):
            errors.append(result)
        else:
            found[missing[path]] = _write_entry(missing[path], result)
    if errors:
        listed = "".join(f"\n  {error}" for error in errors)
        raise UserError(f"{len(errors)} of {len(paths)} recordings cannot be used:{listed}")
    kept = [entry for entry in (found[e] for e in entries) if entry is not None]
    n_frames = np.array([n for n, _ in kept], np.int64)
    recordings = tuple(recording for _, recording in kept)
    return Features(tuple(entries), n_frames, frontend.n_bands, recordings, scratch)


def _content(path: Path) -> str:
    """The digest of a file's bytes; a file that cannot be read gets one of its path."""
    try:
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
