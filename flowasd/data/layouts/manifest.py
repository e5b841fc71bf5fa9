"""The layout `manifest`: a CSV file with a row for every recording, and a header.

    path,machine_id,split,label
    rail/a.wav,rail_1,train,normal
    rail/b.wav,rail_1,test,anomaly

Semicolons or tabs may stand between the cells instead of commas. `path` is relative to the CSV
file. The other columns may be missing: `machine_id` is then
"machine", `split` is train, and `label` is unknown. Further columns are attributes; `domain` is
source or target.
"""

import csv
import textwrap
from collections.abc import Mapping
from pathlib import Path

from flowasd.data.clips import MACHINE, Clip, Dataset
from flowasd.data.layouts.layout import LABELS, Layout
from flowasd.errors import UserError

DELIMITERS = ",;\t"
COLUMNS = ("path", "machine_id", "split", "label", "domain")
SPLITS = ("train", "test")
STATES = LABELS | {"0": 0, "1": 1, "": None}
DOMAINS = {"": None, "source": "source", "target": "target"}


def parse_clip(path: Path) -> Clip:
    """Raises a `UserError`, because a name tells no machine ID; only the manifest does."""
    raise UserError(
        f"{path}: in the layout `manifest`, a file's name tells no machine ID; name its folder "
        "after the machine"
    )


def find(root: Path, split: str) -> list[Path]:
    """Returns the root, if it is a CSV file."""
    return [root] if claims(root) else []


def claims(root: Path) -> bool:
    """Whether the root is a CSV file."""
    return root.suffix.lower() == ".csv" and root.is_file()


def read(path: Path) -> Dataset:
    """Lists the clips of all rows, sorted by path.

    Raises:
        UserError: If the file is not such a table; the message names the line.
    """
    clips: dict[str, dict[Path, Clip]] = {split: {} for split in SPLITS}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            rows = csv.DictReader(file, restval="", delimiter=_delimiter(first))
            names = rows.fieldnames = [_column(name) for name in rows.fieldnames or ()]
            if twice := [name for name in COLUMNS if names.count(name) > 1]:
                raise UserError(f"{path}: its first line names {twice[0]} twice; rename one")
            if "path" not in names:
                raise UserError(
                    f"{path}: its first line must name the columns, with commas, semicolons or "
                    f"tabs between, and one must be path; the others that it may name are "
                    f"{', '.join(COLUMNS[1:])}; it is {textwrap.shorten(first, 80) or 'empty'}"
                )
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if None in row:
                    raise UserError(f"{where}: has more cells than the first line")
                cells = {name: cell.strip() for name, cell in row.items()}
                clip = _clip(path.parent, cells, where)
                if any(clip.path in own for own in clips.values()):
                    raise UserError(f"{where}: {clip.path} is there twice; remove one row")
                split = _choice(cells, "split", where, dict.fromkeys(SPLITS) | {"": None})
                clips[split or "train"][clip.path] = clip
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}); export it as UTF-8") from error
    train, test = (tuple(own[name] for name in sorted(own)) for own in clips.values())
    return Dataset("", train, test)


def _delimiter(first: str) -> str:
    """What stands between the cells of the first line, one of which is then `path`."""
    for delimiter in DELIMITERS:
        if "path" in map(_column, next(csv.reader([first], delimiter=delimiter), ())):
            return delimiter
    return DELIMITERS[0]


def _column(name: str) -> str:
    """The name of a column, where blanks and the case do not tell one of `COLUMNS` from another."""
    name = name.strip()
    return name.lower() if name.lower() in COLUMNS else name


def _clip(folder: Path, cells: Mapping[str, str], where: str) -> Clip:
    if not cells["path"]:
        raise UserError(f"{where}: names no path")
    label = STATES[_choice(cells, "label", where, STATES)]
    domain = DOMAINS[_choice(cells, "domain", where, DOMAINS)]
    attributes = tuple((n, cell) for n, cell in cells.items() if n not in COLUMNS and cell)
    path = folder / Path(cells["path"]).expanduser()
    return Clip(path, cells.get("machine_id") or MACHINE, label, domain, attributes)


def _choice(cells: Mapping[str, str], column: str, where: str, known: Mapping[str, object]) -> str:
    cell = cells.get(column, "")
    if cell not in known:
        raise UserError(f"{where}: {column} is {cell}, not one of {', '.join(filter(None, known))}")
    return cell


LAYOUT = Layout(find, read, parse_clip, claims, typed=False)
