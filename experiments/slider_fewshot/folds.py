"""The few-shot protocol's folds, as symbolic links in DCASE's layout."""

from collections.abc import Sequence
from pathlib import Path

FOLDS = 5
MOVED = 5000  # added to a moved clip's number, so that no two names in train/ meet


def machine_ids(data: Path) -> list[str]:
    """The machine IDs of the normal clips."""
    return sorted({_machine_id(clip) for clip in data.glob("t*/normal_*")})


def lay_out_fold(data: Path, fold: int, root: Path, *ids: str) -> Path:
    """Lays one fold out below `root`; links that are there to other clips go.

    Of each machine ID's normal test clips, in name order, every fifth is tested and the others
    join the training clips; all anomalous clips are tested.

    Args:
        data: The machine type's folder of the development set, with `train/` and `test/`.
        fold: Which of the five.
        root: Folder that takes `fold<N>/slider/{train,test}`.
        ids: The machine IDs whose clips are laid out; without any, all are.

    Returns:
        The fold's folder.
    """
    out = root / "_".join((f"fold{fold}", *ids))
    train, test = out / "slider" / "train", out / "slider" / "test"
    clips = {train / clip.name: clip for clip in data.glob("train/normal_*")}
    clips |= {test / clip.name: clip for clip in data.glob("test/anomaly_*")}
    seen: dict[str, int] = {}
    for clip in sorted(data.glob("test/normal_*")):
        machine, number = _machine_id(clip), clip.stem.split("_")[3]
        position = seen[machine] = seen.get(machine, -1) + 1
        if position % FOLDS == fold:
            clips[test / clip.name] = clip
        else:
            clips[train / f"normal_{machine}_{int(number) + MOVED:08d}{clip.suffix}"] = clip
    wanted = {
        (link, clip.resolve())
        for link, clip in clips.items()
        if not ids or _machine_id(clip) in ids
    }
    _link((train, test), wanted)
    return out


def _machine_id(clip: Path) -> str:
    return f"id_{clip.stem.split('_')[2]}"


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
