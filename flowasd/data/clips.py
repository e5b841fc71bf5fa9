"""A recording and a data set, whatever way they are laid out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MACHINE = "machine"  # the ID where nothing tells one


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        path: The audio file.
        machine_id: What the flow is conditioned on: the machine's ID, such as `"id_00"`, its
            section, such as `"section_00"`, or one of these with a domain or an attribute.
        label: 0 normal, 1 anomalous, None unknown (the evaluation set).
        domain: `"source"` or `"target"`; None where nothing tells it.
        attributes: Names and values of what is known of the machine's state, such as
            `("vel", "620")`. A name may repeat.
        section: The ID or section whose clips are judged together; empty if it is the machine ID.
    """

    path: Path
    machine_id: str
    label: int | None
    domain: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    section: str = ""

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @property
    def group(self) -> str:
        """The ID or section whose clips are judged together."""
        return self.section or self.machine_id


@dataclass(frozen=True)
class Dataset:
    """The clips of one machine type, each tuple in the order of the paths.

    Attributes:
        machine_type: Name of the type; empty where the layout tells none.
        train: The training clips; none where a folder holds only clips to test on.
        test: The test clips; there may be none.
        edition: The first year of the DCASE challenge whose evaluator judges such clips: 2020, 2021
            or 2022. What is no challenge's is judged as in 2020.
    """

    machine_type: str
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
    edition: int = 2020


def short_names(paths: Sequence[Path], parts: int = 1) -> list[str]:
    """Returns the ends of paths, as long as it takes to tell them apart.

    Args:
        paths: The paths.
        parts: How many folders and names an end has at least.

    Example:
        >>> short_names([Path("rail/normal/0.wav"), Path("rail/abnormal/0.wav")])
        ['normal/0.wav', 'abnormal/0.wav']
    """
    longest = max((len(path.parts) for path in paths), default=parts)
    ends = ["/".join(path.parts[-parts:]) for path in paths]
    if len({*ends}) == len({*paths}) or parts >= longest:
        return ends
    return short_names(paths, parts + 1)
