"""The folder of a run: its config and splits, and what may be done in it."""

import json
from pathlib import Path
from typing import Any

from flowasd.data.source import Source
from flowasd.errors import UserError
from flowasd.files import write_text
from flowasd.typing import Config

# Keys that do not change what is trained, and may differ when a run is taken up again.
FREE = ("data.cache", "data.bank_gb", "score.", "parallel.")


def open_workdir(workdir: Path, config: Config) -> None:
    """Makes the folder and records the config, or checks that the run in it has the same one.

    A folder without a checkpoint holds no run yet; its config is replaced.

    Raises:
        UserError: If the folder cannot be written, or belongs to a run with another config.
    """
    path = workdir / "config.json"
    if path.exists() and has_checkpoint(workdir):
        check_same(workdir, json.loads(path.read_text()), config)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_text(path, config.to_json(indent=2, sort_keys=True))
    except OSError as error:
        raise UserError(
            f"{workdir}: cannot write here ({error.strerror}); name another --workdir"
        ) from error


def has_checkpoint(workdir: Path) -> bool:
    """Whether training has got as far as a checkpoint."""
    return any(path.name.isdigit() for path in workdir.glob("checkpoints/*"))


def check_same(workdir: Path, before: dict[str, Any], config: Config) -> None:
    """Raises a `UserError` with the keys in which a run's config and another differ."""
    was, now = flat(before), flat(json.loads(config.to_json()))
    differing = sorted(
        key for key in was | now if was.get(key) != now.get(key) and not key.startswith(FREE)
    )
    if differing:
        changes = ", ".join(f"{key} ({was.get(key)} → {now.get(key)})" for key in differing)
        raise UserError(
            f"{workdir} holds a run with another config; differing keys: {changes}; "
            "name another --workdir or restore these keys"
        )


def record_splits(workdir: Path, source: Source) -> None:
    """Writes splits.json: which file went to which split.

    Raises:
        UserError: If training goes on in this folder with other clips than it began with.
    """
    if has_checkpoint(workdir):
        check_splits(workdir, source)
    splits = {"data": source.kind} | _file_names(source)
    write_text(workdir / "splits.json", json.dumps(splits, indent=1))


def check_splits(workdir: Path, source: Source) -> None:
    """Raises a `UserError` if other clips are there than the run in the folder was trained on."""
    path = workdir / "splits.json"
    before, now = json.loads(path.read_text()) if path.exists() else {}, _file_names(source)
    for split in {"train", "validation"} & before.keys():
        if other := sorted(set(before[split]) ^ set(now[split])):
            raise UserError(
                f"{workdir} was trained on other clips: {len(other)} of the {split} split "
                f"differ, such as {other[0]}; name another --workdir or restore the clips"
            )


def check_shared(workdir: Path, source: Source) -> None:
    """Raises a `UserError` if this is not the folder, or not the clips, of the first process."""
    if not (workdir / "splits.json").exists():
        raise UserError(
            f"{workdir}: what the first process of the run wrote here is not to be seen from "
            "another; name a --workdir on a file system that all of them share"
        )
    check_splits(workdir, source)


def _file_names(source: Source) -> dict[str, list[str]]:
    return {
        split: [f"{clip.path.parent.name}/{clip.name}" for clip in clips]
        for split, clips in source.splits.items()
    }


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries and lists as one dictionary with keys such as `model.levels[0].steps`."""
    if isinstance(value, dict):
        items = [(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{prefix}[{i}]", item) for i, item in enumerate(value)]
    else:
        return {prefix: value}
    return {key: leaf for name, item in items for key, leaf in flat(item, name).items()}
