"""The clips of one machine type, found below a root and checked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts import AUTO, LAYOUTS, find_layout
from flowasd.data.layouts.layout import name_of, some
from flowasd.errors import UserError

ID = "id"  # the condition that is the machine ID or section alone


def read_dataset(root: Path, layout: str = AUTO, machine_type: str = "") -> Dataset:
    """Lists the clips of a machine type that has training clips.

    Args:
        root: The folder of the machine type, or one up to three levels above it. An unpacked
            archive may therefore have folders around the data.
        layout: Name of the layout; by default it is recognised.
        machine_type: The machine type, where there are several.

    Raises:
        UserError: If there is no such folder, or several; if a name does not have the layout's
            form; or if the clips cannot be used, as `check` says.
    """
    found, folders = find_layout(root, "train", layout)
    folder = only(root, found, folders, machine_type)
    dataset = LAYOUTS[found].read(folder)
    check(dataset, folder)
    return dataset


def read_test_clips(root: Path, layout: str = AUTO, machine_type: str = "") -> Dataset:
    """Lists only the test clips of a machine type, such as those of the evaluation set.

    Args:
        root: The folder of the machine type, or one up to three levels above it.
        layout: Name of the layout; by default it is recognised.
        machine_type: The machine type, where there are several.

    Raises:
        UserError: If there is no such folder, or several; if there is no clip; or if a name does
            not have the layout's form.
    """
    found, folders = find_layout(root, "test", layout)
    folder = only(root, found, folders, machine_type)
    dataset = LAYOUTS[found].read(folder)
    if not dataset.test:
        raise UserError(f"{folder}: holds no .wav or .flac clip to test on")
    return replace(dataset, train=())


def machine_types(root: Path, layout: str = AUTO) -> list[str]:
    """Lists the machine types below a root that have training clips.

    Raises:
        UserError: If there are none.
    """
    return [type_of(folder) for folder in find_layout(root, "train", layout)[1]]


def type_of(place: Path) -> str:
    """Returns the machine type that a folder, or a file that lists recordings, is called after."""
    return place.stem if place.is_file() else name_of(place)


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Joins the clips of several folders of one machine type.

    The edition is that of the test clips: a folder without any does not tell 2021 from 2022.

    Raises:
        UserError: If the machine types differ.
    """
    types = [*dict.fromkeys(own.machine_type for own in datasets if own.machine_type)]
    if len(types) > 1:
        raise UserError(f"different machine types cannot be trained on together: {some(types)}")
    train = tuple(clip for dataset in datasets for clip in dataset.train)
    test = tuple(clip for dataset in datasets for clip in dataset.test)
    tested = next((dataset for dataset in datasets if dataset.test), datasets[0])
    return replace(tested, machine_type=types[0] if types else "", train=train, test=test)


def conditioned(clip: Clip, condition: str) -> Clip:
    """Returns a clip whose machine ID holds what the flow is conditioned on.

    Args:
        clip: The clip.
        condition: `ID` for the machine ID or section alone, `"domain"`, or the name of an
            attribute.

    Raises:
        UserError: If the clip does not tell its domain or has no such attribute.
    """
    if condition == ID:
        return clip
    values = [value for name, value in clip.attributes if name == condition]
    if condition == "domain":
        values = [clip.domain] if clip.domain else []
    if not values:
        raise UserError(
            f"{clip.path}: nothing tells its {condition}, on which the model is conditioned "
            f"(config.data.condition); its attributes are {some(dict(clip.attributes)) or 'none'}"
        )
    name = "+".join(values) if condition == "domain" else f"{condition}_{'+'.join(values)}"
    return replace(clip, machine_id=f"{clip.group}_{name}", section=clip.group)


def check(dataset: Dataset, place: Path) -> None:
    """Raises a `UserError` if a model cannot be trained on these clips or tested on them."""
    for problem in problems(dataset, place):
        raise UserError(problem)


def problems(dataset: Dataset, place: Path) -> Iterator[str]:
    """Says why a model cannot be trained on these clips or tested on them.

    Args:
        dataset: The clips.
        place: Where they are; messages name it where no clip's folder tells more.

    Yields:
        A line for each reason.
    """
    if not dataset.train:
        train = place if place.is_file() else place / "train"  # a manifest has no folder
        yield f"{train}: holds no .wav or .flac clip to train on"
        return
    if anomalous := [clip for clip in dataset.train if clip.label == 1]:
        names = some(clip.name for clip in anomalous)
        yield (
            f"{_place_of(anomalous, place)}: {len(anomalous)} anomalous clips ({names}) where only "
            "normal ones belong; move them to test/"
        )
    known = {clip.machine_id for clip in dataset.train}
    if unknown := [clip for clip in dataset.test if clip.machine_id not in known]:
        ids = ", ".join(sorted({clip.machine_id for clip in unknown}))
        yield (
            f"{_place_of(unknown, place)}: no training clip is of {ids}; add training clips or "
            "remove the test clips"
        )
    if odd := sorted(machine_id for machine_id in known if "/" in machine_id):
        yield f"{place}: a machine ID names a file, and must not hold a /: {some(odd)}"


def _place_of(clips: Sequence[Clip], place: Path) -> str:
    """The folders of some clips, or the file that lists them."""
    return str(place) if place.is_file() else some(sorted({clip.path.parent for clip in clips}))


def of_type(root: Path, layout: str, folders: Sequence[Path], machine_type: str) -> list[Path]:
    """Returns those of the folders that are of a machine type; all if nothing names one.

    Raises:
        UserError: If there are none.
    """
    any_type = not machine_type or not LAYOUTS[layout].typed
    if named := [folder for folder in folders if any_type or type_of(folder) == machine_type]:
        return named
    raise UserError(f"{root}: no machine type {machine_type}; there are {_names(folders)}")


def only(root: Path, layout: str, folders: Sequence[Path], machine_type: str) -> Path:
    """Returns the folder of a machine type; of the only one, if nothing names it.

    Raises:
        UserError: If there are none, or several.
    """
    named = of_type(root, layout, folders, machine_type)
    if len(named) == 1:
        return named[0]
    if len({*map(name_of, named)}) == 1:
        places = some(folder.relative_to(root) for folder in named)
        raise UserError(
            f"{root}: several folders of {name_of(named[0])} ({places}); name one with "
            "--config.data.root, or those to join with --config.data.train_on"
        )
    raise UserError(
        f"{root}: several machine types ({_names(folders)}); name one: {named[-1]}, or "
        f"--config.data.machine_type={name_of(named[-1])}"
    )


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(dict.fromkeys(map(type_of, folders)))
