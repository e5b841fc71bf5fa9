"""Scoring of any number of files: a stream of results, which goes on after a bad file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from flowasd.band_detector import CLIPS_AT_ONCE, BandDetector
from flowasd.data.machine_ids import told_id
from flowasd.doubting import doubts
from flowasd.errors import UserError
from flowasd.features.hearing import Heard, hear
from flowasd.scoring.rules import Judged, check_finite


@dataclass(frozen=True)
class Result:
    """What the detector says of one file.

    Attributes:
        path: The file.
        machine_id: The ID that it was scored under.
        score: The score by the configured rule; the larger, the more anomalous.
        p_value: How often a normal clip of this machine scores as high or higher, in (0, 1].
        scores: The score by every rule.
        error: Why the file could not be scored; then there are no scores.
        warning: Why its score is to be doubted.
    """

    path: Path
    machine_id: str = ""
    score: float = float("nan")
    p_value: float = float("nan")
    scores: dict[str, float] = field(default_factory=dict)
    error: UserError | None = None
    warning: str | None = None


def file_results(
    detector: BandDetector, paths: Sequence[Path], machine_id: str | None
) -> Iterator[Result]:
    """Yields a result for every path, in order; see `Detector.results`."""
    # One stream for all of them: files are decoded while earlier ones are scored.
    heard = hear(paths, detector.frontend, detector.config.data)
    for _ in range(0, len(paths), CLIPS_AT_ONCE):
        yield from _score_some(detector, islice(heard, CLIPS_AT_ONCE), machine_id)


def _score_some(
    detector: BandDetector,
    some: Iterable[tuple[Path, Heard | UserError]],
    machine_id: str | None,
) -> list[Result]:
    results, heard = [], []
    for path, result in some:
        try:
            if isinstance(result, UserError):
                raise result
            known = machine_id or told_id(path, detector.known_ids, detector.config.data)
        except UserError as error:
            results.append(Result(path, error=error))
            continue
        heard.append(result.bands)
        results.append(Result(path, known))
        del result  # a long clip must go before the next one comes
    scored = [result.machine_id for result in results if result.error is None]
    judged = detector.judge(heard, scored)
    said = zip(judged, doubts(detector, heard, scored, judged), strict=True)
    rule = detector.config.score.rule
    return [result if result.error else _with(result, *next(said), rule) for result in results]


def _with(result: Result, judged: Judged, doubt: str | None, rule: str) -> Result:
    try:
        check_finite(judged, result.path)
    except UserError as error:
        return replace(result, error=error)
    return replace(
        result,
        score=judged.scores[rule],
        p_value=judged.p_values[rule],
        scores=judged.scores,
        warning=f"{result.path}: {doubt}" if doubt else None,
    )
