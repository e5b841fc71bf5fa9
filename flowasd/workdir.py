"""The folder of a run: its config and splits, and what may be done in it."""

import json
import os
from pathlib import Path
from typing import Any

from flowasd.data.source import Source
from flowasd.errors import UserError
from flowasd.typing import Config


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def open_workdir(workdir: Path, config: Config) -> None:
    """Makes the folder, or checks that the run in it has the same config.

    Raises:
        UserError: If the folder cannot be written, or belongs to a run with another config.
    """
    path = workdir / "config.json"
    text = config.to_json(indent=2, sort_keys=True)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_text(path, text)
    except OSError as error:
        raise UserError(
            f"{workdir}: cannot write here ({error.strerror}); name another --workdir"
        ) from error
    before, now = _flat(json.loads(path.read_text())), _flat(json.loads(text))
    differing = sorted(key for key in before | now if before.get(key) != now.get(key))
    if differing:
        changes = ", ".join(f"{key} ({before.get(key)} → {now.get(key)})" for key in differing)
        raise UserError(
            f"{workdir} holds a run with another config; differing keys: {changes}; "
            "name another --workdir or restore these keys"
        )


def write_splits(workdir: Path, source: Source) -> None:
    """Writes splits.json: which file went to which split."""
    splits = {
        name: [f"{clip.path.parent.name}/{clip.path.name}" for clip in clips]
        for name, clips in source.splits.items()
    }
    write_text(workdir / "splits.json", json.dumps(splits, indent=1))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries and lists as one dictionary with keys such as `model.levels[0].steps`."""
    if isinstance(value, dict):
        items = [(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{prefix}[{i}]", item) for i, item in enumerate(value)]
    else:
        return {prefix: value}
    return {key: leaf for name, item in items for key, leaf in _flat(item, name).items()}
