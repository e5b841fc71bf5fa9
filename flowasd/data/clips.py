"""A recording and a data set, whatever way they are laid out."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        path: The audio file.
        machine_id: The machine's ID, such as `"id_00"`.
        label: 0 normal, 1 anomalous, None unknown (the evaluation set).
    """

    path: Path
    machine_id: str
    label: int | None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name


@dataclass(frozen=True)
class Dataset:
    """The clips of one machine type, each tuple in the order of the paths; `test` may be empty."""

    machine_type: str
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
