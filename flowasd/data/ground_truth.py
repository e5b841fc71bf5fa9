"""The organisers' lists of labels for the clips of an evaluation set.

A list names a machine type on a line of its own. Below it, every line has the name of a clip of the
evaluation set and the name that tells what it is; in 2020 also 0 (normal) or 1 (anomalous).

    slider
    id_01_00000000.wav,normal_id_01_00000098.wav,0
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowasd.data.clips import Clip
from flowasd.data.layouts import parse_clip
from flowasd.data.layouts.layout import some
from flowasd.errors import UserError


def read_ground_truth(path: Path) -> dict[str, dict[str, Clip]]:
    """Reads a list of labels.

    Returns:
        By machine type, and by the name of a clip without suffix, what its other name tells.

    Raises:
        UserError: If the file is not such a list; the message names the line.
    """
    found: dict[str, dict[str, Clip]] = {}
    own: dict[str, Clip] | None = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            for row in rows:
                cells = [cell.strip() for cell in row if cell.strip()]
                if len(cells) == 1:
                    own = found.setdefault(cells[0], {})
                elif cells and own is None:
                    raise UserError(f"{path}: the first line must be a machine type, as in slider")
                elif cells and own is not None:
                    where, stem = f"{path}, line {rows.line_num}", Path(cells[0]).stem
                    if stem in own:
                        raise UserError(f"{where}: {cells[0]} is there twice; remove one line")
                    own[stem] = _labelled(where, *cells[1:])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error})") from error
    return found


def _labelled(where: str, name: str, label: str = "", *_: str) -> Clip:
    try:
        clip = parse_clip(Path(name))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if clip.label is None or label not in ("", str(clip.label)):
        raise UserError(f"{where}: {name} and {label or 'no label'} do not say the same")
    return clip


def true_clips(
    names: Sequence[str], machine_type: str, known: Mapping[str, Mapping[str, Clip]]
) -> list[Clip]:
    """Returns what a list of labels says of some clips.

    Args:
        names: Names of all clips of a machine type's evaluation set, with any suffix.
        machine_type: The machine type.
        known: What `read_ground_truth` returned.

    Raises:
        UserError: If the list and the clips are not the same. The organisers' evaluators sort both
            by name and then align them by position, so one missing clip shifts all others.
    """
    listed = known.get(machine_type)
    if listed is None:
        raise UserError(f"the labels are of {some(known)}; there are none of {machine_type}")
    stems = [Path(name).stem for name in names]
    if surplus := sorted({*stems} - listed.keys()):
        raise UserError(f"{len(surplus)} clips are not in the list of labels ({some(surplus)})")
    if missing := sorted(listed.keys() - {*stems}):
        raise UserError(f"{len(missing)} clips of the list of labels are missing ({some(missing)})")
    return [listed[stem] for stem in stems]
