"""The folder of a run and the config in it: what may change when the run goes on."""

import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flowasd.config import RunConfig
from flowasd.errors import UserError
from flowasd.run.records import read_record, write_record
from flowasd.settings import build

# Keys that do not change what is trained. The recordings may have moved: their content is checked.
FREE = (
    *("data.root", "data.layout", "data.machine_type", "data.train_on", "data.test_on"),
    *("data.test", "data.cache", "data.bank_gb", "data.max_clip_seconds", "data.suspicious"),
    *("score.", "parallel."),
)
REPEAT = "repeat the training command in another --workdir"


def make_workdir(workdir: Path) -> None:
    """Makes the folder of a run, unless it is there.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=workdir).close()
    except OSError as error:
        raise UserError(
            f"{workdir}: cannot write here ({error.strerror}); name another --workdir"
        ) from error


def open_workdir(workdir: Path, config: RunConfig) -> None:
    """Takes the folder for a run, or checks that the run in it has the same config.

    A folder without a checkpoint holds no run yet, and its config is replaced. That of a run stays
    until `record_config`, so that a command that is refused leaves the run as it was.

    Raises:
        UserError: If the folder cannot be written, or belongs to a run with another config.
    """
    begun = has_checkpoint(workdir) and (workdir / "config.json").exists()
    if begun:
        check_same(workdir, read_config(workdir), config)
    make_workdir(workdir)
    if not begun:
        record_config(workdir, config)


def check_there(workdir: Path) -> None:
    """Raises a `UserError` if the folder of a run that is being trained has vanished."""
    if not (workdir / "config.json").exists():
        raise UserError(f"{workdir}: the folder of this run has vanished; repeat the command")


def record_config(workdir: Path, config: RunConfig) -> None:
    """Writes config.json."""
    write_record(workdir / "config.json", asdict(config))


def read_config(workdir: Path) -> RunConfig:
    """Reads the config of the last command that trained the run.

    Raises:
        UserError: If the file is missing, damaged or of another format.
    """
    path = workdir / "config.json"
    return build(RunConfig, read_record(path, REPEAT), str(path))


def copy_run(workdir: Path, folder: Path) -> None:
    """Copies a run.

    Raises:
        UserError: If the folder to copy to is not empty, or the run cannot be copied.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; name another folder with --output")
    try:
        shutil.copytree(workdir, folder, dirs_exist_ok=True)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # the same command would find it not empty
        # copytree goes on after a failure, and raises a list of all of them.
        why = error.args[0][0][-1] if isinstance(error, shutil.Error) else error
        raise UserError(f"{folder}: the run cannot be copied here ({why})") from error


def has_checkpoint(workdir: Path) -> bool:
    """Whether training has got as far as a checkpoint."""
    return any(path.name.isdigit() for path in workdir.glob("checkpoints/*"))


def check_same(workdir: Path, before: RunConfig, config: RunConfig) -> None:
    """Raises a `UserError` with the keys in which a run's config and another differ."""
    was, now = trained_keys(before), trained_keys(config)
    differing = sorted(key for key in was | now if was.get(key) != now.get(key))
    if differing:
        changes = ", ".join(f"{key} ({was.get(key)} → {now.get(key)})" for key in differing)
        raise UserError(
            f"{workdir} holds a run with another config; differing keys: {changes}; "
            "name another --workdir or restore these keys"
        )


def settings_of(workdir: Path, trained: RunConfig, config: RunConfig) -> RunConfig:
    """Checks another config against that of a run, and completes what it says of the data.

    Without a root, or with that of the run, the layout and the training folders are the run's; so
    are a machine type and a folder of test clips that are not named.
    """
    check_same(workdir, trained, config)
    data, own = config.data, trained.data
    if data.root in ("", own.root):
        data = replace(
            data,
            root=own.root,
            layout=own.layout,
            train_on=own.train_on,
            test=own.test,
            machine_type=data.machine_type or own.machine_type,
            test_on=data.test_on or own.test_on,
        )
    return replace(config, data=data)


def trained_keys(config: RunConfig) -> dict[str, Any]:
    """Returns every key that changes what is trained, such as `model.levels[0].steps`."""
    return {key: v for key, v in flat(asdict(config)).items() if not key.startswith(FREE)}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns nested dictionaries and tuples as one, with keys such as `model.levels[0].steps`."""
    if isinstance(value, dict):
        items = [(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(f"{prefix}[{i}]", item) for i, item in enumerate(value)]
    else:
        return {prefix: value}
    return {key: leaf for name, item in items for key, leaf in flat(item, name).items()}
