"""Chooses held-out clips by a hash of the file name, so that a new file moves no old one."""

import hashlib
from collections.abc import Sequence

from flowasd.data.clips import Clip
from flowasd.errors import UserError


def hash_fraction(name: str, seed: int) -> float:
    """Maps a file name, without its folder, to a number in [0, 1), uniform over names and seeds."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits fit a float: never 1.0


WORTH = 4  # clips of an ID for each one that is held out to calibrate


def split_clips(
    clips: Sequence[Clip], seed: int, validation: float, test: float = 0.0, calibration: int = 0
) -> dict[str, tuple[Clip, ...]]:
    """Holds out some of the clips of every machine ID.

    The hash of a clip's name alone decides the part that the clip goes to, so the fractions are
    right in expectation for every ID. IDs with few clips are an exception:

    - If an ID would have no training clip, all of its clips are training clips.
    - If an ID would have no clip in a held-out part, its training clip with the lowest hash goes
      there, as long as the ID has two training clips or more.

    The clips that calibrate decisions are those of each ID's training clips with the lowest hashes.
    They are held out only if every ID has enough training clips, `WORTH` times as many.

    Only by these clips and in the two cases above can a new file move an old one.

    Args:
        clips: Training clips; their order is kept.
        seed: Another seed gives another split.
        validation: Fraction of the clips to validate on, above 0.
        test: Fraction of the clips to test on.
        calibration: Clips of each ID that are held out to calibrate decisions.

    Returns:
        `{"train": ..., "validation": ...}`, `"calibration"` if clips are held out for it, and
        `"test"` if `test` is above 0.

    Raises:
        UserError: If the fractions leave nothing to train on, or a part that has a fraction is
            empty.
    """
    if not (validation > 0 and test >= 0 and validation + test < 1):
        raise UserError(
            f"validation {validation:g} and test {test:g} of the clips cannot be held out; "
            "validation must be above 0, test not below 0, their sum below 1"
        )
    parts = {clip: _part(hash_fraction(clip.name, seed), validation, test) for clip in clips}
    trained = {clip.machine_id for clip, part in parts.items() if part == "train"}
    parts = {c: part if c.machine_id in trained else "train" for c, part in parts.items()}
    for part in ("validation", "test") if test > 0 else ("validation",):
        _fill(part, parts, seed)
    _hold_out(parts, seed, calibration)
    split = {
        name: tuple(clip for clip in clips if parts[clip] == name)
        for name in ("train", "validation", "calibration", "test")
        if name in ("train", "validation", *parts.values()) or (name == "test" and test > 0)
    }
    if empty := [name for name, part in split.items() if not part]:
        raise UserError(
            f"the {empty[0]} split of {len(clips)} clips is empty; add clips, raise "
            "--config.data.validation or --config.data.test, or change --config.seed"
        )
    return split


def _fill(part: str, parts: dict[Clip, str], seed: int) -> None:
    """Moves a training clip to `part` for every ID that has no clip there."""
    filled = {clip.machine_id for clip, own in parts.items() if own == part}
    for machine_id in {clip.machine_id for clip in parts} - filled:
        train = [c for c, own in parts.items() if own == "train" and c.machine_id == machine_id]
        if len(train) > 1:
            parts[min(train, key=lambda clip: hash_fraction(clip.name, seed))] = part


def _hold_out(parts: dict[Clip, str], seed: int, count: int) -> None:
    """Moves `count` training clips of every ID to `calibration`, if no ID has too few."""
    train: dict[str, list[Clip]] = {}
    for clip in parts:
        if parts[clip] == "train":
            train.setdefault(clip.machine_id, []).append(clip)
    if any(len(own) < WORTH * count for own in train.values()):
        return
    for own in train.values():
        for clip in sorted(own, key=lambda clip: hash_fraction(clip.name, seed))[:count]:
            parts[clip] = "calibration"


def _part(fraction: float, validation: float, test: float) -> str:
    if fraction < validation:
        return "validation"
    return "test" if fraction < validation + test else "train"
