"""The few-shot protocol's folds, as symbolic links in DCASE's layout."""

from collections.abc import Sequence
from pathlib import Path

FOLDS = 5
MOVED = 5000  # added to a moved clip's number, so that no two names in train/ meet


def lay_out_fold(data: Path, fold: int, root: Path) -> Path:
    """Lays one fold out below `root`; links that are there to other clips go.

    Of each machine ID's normal test clips, in name order, every fifth is tested and the others
    join the training clips; all anomalous clips are tested.

    Args:
        data: The machine type's folder of the development set, with `train/` and `test/`.
        fold: Which of the five.
        root: Folder that takes `fold<N>/slider/{train,test}`.

    Returns:
        The fold's folder.
    """
    out = root / f"fold{fold}"
    train, test = out / "slider" / "train", out / "slider" / "test"
    clips = {train / clip.name: clip for clip in data.glob("train/normal_*")}
    clips |= {test / clip.name: clip for clip in data.glob("test/anomaly_*")}
    seen: dict[str, int] = {}
    for clip in sorted(data.glob("test/normal_*")):
        _, _, id_number, number = clip.stem.split("_")
        machine = f"id_{id_number}"
        position = seen[machine] = seen.get(machine, -1) + 1
        if position % FOLDS == fold:
            clips[test / clip.name] = clip
        else:
            clips[train / f"normal_{machine}_{int(number) + MOVED:08d}{clip.suffix}"] = clip
    _link((train, test), {(link, clip.resolve()) for link, clip in clips.items()})
    return out


def _link(folders: Sequence[Path], links: set[tuple[Path, Path]]) -> None:
    """Leaves the folders with these links and targets alone, and touches none that is right."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    paths = [path for folder in folders for path in folder.iterdir()]
    there = {(path, path.readlink()) for path in paths if path.is_symlink()}
    for path, _ in there - links:
        path.unlink()
    for path, target in links - there:
        path.symlink_to(target)
