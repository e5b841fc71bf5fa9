"""The layout `folder`: audio files of any names, in folders that say what they are.

    train/FILES                          one machine, called "machine"
    train/pump_1/FILES                   a folder is a machine ID
    test/normal/pump_1/FILES             labelled test clips, optional
    test/anomaly/pump_1/FILES
    test/FILES, test/pump_1/FILES        unlabelled ones

In a folder without `train/`, everything outside of `test/` is to train on. A folder called Anomaly
counts as anomaly.
"""

from pathlib import Path

from flowasd.data.audio import audio_below
from flowasd.data.clips import MACHINE, Clip, Dataset
from flowasd.data.layouts.layout import LABELS, Layout
from flowasd.errors import UserError


def parse_clip(path: Path) -> Clip:
    """Raises a `UserError`, because a name tells no machine ID; a folder below the root does."""
    raise UserError(
        f"{path}: in the layout `folder`, a file's name tells no machine ID; name its folder after "
        "the machine"
    )


def find(root: Path, split: str) -> list[Path]:
    """Returns the root, if it is a folder."""
    return [root] if root.is_dir() else []


def read(folder: Path) -> Dataset:
    """Lists all clips, at every depth."""
    test = [_clip(folder / "test", path) for path in audio_below(folder / "test")]
    top = folder / "train" if (folder / "train").is_dir() else folder
    tested = {clip.path for clip in test}
    paths = [path for path in audio_below(top) if path not in tested]
    return Dataset("", tuple(_clip(top, path) for path in paths), tuple(test))


def _clip(top: Path, path: Path) -> Clip:
    """Reads label and ID from the folders between `top` and the file; training clips have none."""
    folders = path.relative_to(top).parts[:-1]
    label = next((LABELS[name.lower()] for name in folders if name.lower() in LABELS), None)
    ids = [name for name in folders if name.lower() not in LABELS]
    return Clip(path, ids[0] if ids else MACHINE, label)


LAYOUT = Layout(find, read, parse_clip, typed=False)
