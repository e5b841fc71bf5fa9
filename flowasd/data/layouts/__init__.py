"""The registry of layouts: how recordings are arranged in folders and what their names mean.

To add a layout, write a file like `dcase2020.py` and add a line to `LAYOUTS`.
"""

from pathlib import Path

from flowasd.data.clips import Clip
from flowasd.data.layouts import dcase2020, dcase2021, folder, manifest, mimii, toyadmos
from flowasd.data.layouts.layout import Layout
from flowasd.errors import UserError

AUTO = "auto"  # stands for the first layout that claims the recordings

LAYOUTS: dict[str, Layout] = {
    "dcase2020": dcase2020.LAYOUT,
    "dcase2021": dcase2021.LAYOUT,
    "mimii": mimii.LAYOUT,
    "toyadmos": toyadmos.LAYOUT,
    "manifest": manifest.LAYOUT,
    "folder": folder.LAYOUT,
}


def find_layout(root: Path, split: str, name: str = AUTO) -> tuple[str, list[Path]]:
    """Returns the layout's name, and the folders of machine types that have clips of a split.

    Args:
        root: A folder, or a file that lists recordings.
        split: `"train"` or `"test"`.
        name: Name of the layout, or `AUTO`.

    Raises:
        UserError: If there is no such folder.
    """
    if not root.exists():
        raise UserError(f"{root}: no such folder; name the one that holds slider/{split}")
    for known in LAYOUTS if name == AUTO else [name]:
        folders = LAYOUTS[known].find(root, split)
        if name == AUTO:
            folders = [own for own in folders if LAYOUTS[known].claims(own)]
        if folders:
            return known, folders
    if name == AUTO and (folders := dcase2020.find(root, split)):
        return "dcase2020", folders  # whose error says what is wrong with the names
    raise UserError(
        f"{root}: no {split}/ in it or below; name the folder that holds slider/{split}, or the "
        f"layout of the recordings: --config.data.layout={'|'.join(LAYOUTS)}"
    )


def parse_clip(path: Path, name: str = AUTO) -> Clip:
    """Reads the machine ID and the label from the path of one file.

    Args:
        path: The file.
        name: Name of the layout, or `AUTO` for the first one that can read the path.

    Raises:
        UserError: If the path tells no ID.
    """
    if name != AUTO:
        return LAYOUTS[name].parse_clip(path)
    for layout in LAYOUTS.values():
        try:
            return layout.parse_clip(path)
        except UserError:
            continue
    return dcase2020.parse_clip(path)  # whose error says what is expected
