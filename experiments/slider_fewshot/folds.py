"""The few-shot protocol's folds, as symbolic links in DCASE's layout."""

from pathlib import Path

FOLDS = 5
MOVED = 5000  # added to a moved clip's number, so that no two names in train/ meet


def lay_out_fold(data: Path, fold: int, root: Path) -> Path:
    """Lays one fold out below `root`, if it is not there already.

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
    for folder in (train, test):
        folder.mkdir(parents=True, exist_ok=True)
    for clip in data.glob("train/normal_*"):
        _link(train / clip.name, clip)
    for clip in data.glob("test/anomaly_*"):
        _link(test / clip.name, clip)
    seen: dict[str, int] = {}
    for clip in sorted(data.glob("test/normal_*")):
        _, _, id_number, number = clip.stem.split("_")
        machine = f"id_{id_number}"
        position = seen[machine] = seen.get(machine, -1) + 1
        if position % FOLDS == fold:
            _link(test / clip.name, clip)
        else:
            _link(train / f"normal_{machine}_{int(number) + MOVED:08d}{clip.suffix}", clip)
    return out


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(target.resolve())
