"""What a detector says of one file."""

from dataclasses import dataclass, field
from pathlib import Path

from flowasd.errors import UserError


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
    """

    path: Path
    machine_id: str = ""
    score: float = float("nan")
    p_value: float = float("nan")
    scores: dict[str, float] = field(default_factory=dict)
    error: UserError | None = None
