"""The one door for what may be judged: splits.json, and the checks of every mode against it.

splits.json records the digest of every recording that a run uses. A recording is therefore
recognised wherever it lies and whatever its name, as WAV or as FLAC. It also records the machine ID
under which the recording was trained on.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from flowasd.config import RunConfig
from flowasd.data.clips import Clip
from flowasd.data.source import Source, open_source
from flowasd.errors import UserError
from flowasd.features.cache import Features, source_features
from flowasd.run.calibration_file import calibrating_recordings
from flowasd.run.enrolment_file import enrolled_recordings
from flowasd.run.records import damaged, read_record, write_record
from flowasd.run.workdir import REPEAT, has_checkpoint

# Digest of the recording → the file's name, of every split.
Splits = dict[str, dict[str, str]]
# The clips of a run, and the features of every split.
Opened = tuple[Source, dict[str, Features]]
KEPT = ("train", "validation", "calibration")  # of what a run was made; they may not change
CALIBRATING = "calibrating"  # what calibrated a machine after training, as if it was a split
ENROLLED = "enrolled"  # what machines were enrolled from, as if it was a split


def splits_of(source: Source, features: Mapping[str, Features]) -> Splits:
    """Returns which recording went to which split.

    Raises:
        UserError: If a recording is in two splits.
    """
    splits = {
        split: {
            digest: f"{clip.path.parent.name}/{clip.name}"
            for clip, digest in zip(clips, features[split].recordings, strict=True)
        }
        for split, clips in source.splits.items()
    }
    for one, other in combinations(splits, 2):
        for digest in splits[one].keys() & splits[other].keys():
            raise UserError(
                f"{splits[one][digest]} ({one}) and {splits[other][digest]} ({other}) are the same "
                "recording; remove one of them"
            )
    return splits


def ids_of(source: Source, features: Mapping[str, Features]) -> dict[str, str]:
    """Returns the machine ID of every recording that a run is made of, by its digest."""
    return {
        digest: clip.machine_id
        for split, clips in source.splits.items()
        for clip, digest in zip(clips, features[split].recordings, strict=True)
        if split in KEPT
    }


def record_splits(workdir: Path, source: Source, features: Mapping[str, Features]) -> None:
    """Writes splits.json.

    Raises:
        UserError: If a recording is in two splits, or training goes on in this folder with other
            recordings or other machine IDs than it began with.
    """
    splits, machine_ids = splits_of(source, features), ids_of(source, features)
    if has_checkpoint(workdir):
        check_splits(workdir, source, features)
    record = {"data": source.kind, "splits": splits, "machine_ids": machine_ids}
    write_record(workdir / "splits.json", record)


def read_splits(workdir: Path) -> Splits:
    """Reads what `record_splits` wrote.

    Raises:
        UserError: If the file is missing, damaged or of another format.
    """
    path = workdir / "splits.json"
    splits = read_record(path, REPEAT).get("splits")
    if not isinstance(splits, dict) or not {"train", "validation"} <= splits.keys():
        raise damaged(path, "no splits in it", REPEAT)
    for split in splits.values():
        if not isinstance(split, dict) or not all(isinstance(n, str) for n in split.values()):
            raise damaged(path, "a split that does not name its files", REPEAT)
    return splits


def _read_ids(workdir: Path) -> dict[str, str]:
    path = workdir / "splits.json"
    machine_ids = read_record(path, REPEAT).get("machine_ids")
    if not isinstance(machine_ids, dict):
        raise damaged(path, "no machine IDs in it", REPEAT)
    return machine_ids


def check_splits(workdir: Path, source: Source, features: Mapping[str, Features]) -> None:
    """Checks that a run goes on with the recordings that it was trained on, under the same IDs.

    Raises:
        UserError: If it does not, or a recording is in two splits.
    """
    before, now = read_splits(workdir), splits_of(source, features)
    for split in KEPT:
        was, is_now = before.get(split, {}), now.get(split, {})
        if other := sorted((was | is_now)[digest] for digest in was.keys() ^ is_now.keys()):
            raise UserError(
                f"{workdir} was trained on other clips: {len(other)} of the {split} split "
                f"differ, such as {other[0]}; name another --workdir or restore the clips"
            )
    was, is_now = _read_ids(workdir), ids_of(source, features)
    for digest, name in (pair for split in KEPT for pair in now.get(split, {}).items()):
        if was.get(digest) != is_now[digest]:
            raise UserError(
                f"{workdir} was trained on {name} as {was.get(digest)}, and now it is "
                f"{is_now[digest]}; name another --workdir or restore --config.data.layout and "
                "the names"
            )


def check_shared(workdir: Path, source: Source, features: Mapping[str, Features]) -> None:
    """Raises a `UserError` if this is not the folder, or not the clips, of the first process."""
    if not (workdir / "splits.json").exists():
        raise UserError(
            f"{workdir}: this process does not see what the first process of the run wrote here; "
            "name a --workdir on a file system that all processes share"
        )
    check_splits(workdir, source, features)


def open_recorded(workdir: Path, config: RunConfig) -> Opened:
    """Opens the recordings that a run was trained on.

    Raises:
        UserError: If they cannot be read any more, or are others.
    """
    source = open_source(config.data, config.seed)
    source, features = source_features(source, config.frontend, config.data)
    check_splits(workdir, source, features)
    return source, features


def refuse_seen(
    workdir: Path, clips: Sequence[Clip], recordings: Sequence[str], splits: Sequence[str]
) -> None:
    """Raises a `UserError` if clips that are to be judged belong to splits that they must not.

    No clip may be one that a machine was enrolled from.

    Args:
        workdir: Folder of the run.
        clips: The clips.
        recordings: Digest of every clip's recording.
        splits: Splits of the run that no clip may be from; `CALIBRATING` may be one of them.
    """
    recorded = read_splits(workdir) | {ENROLLED: enrolled_recordings(workdir)}
    if CALIBRATING in splits:
        recorded[CALIBRATING] = calibrating_recordings(workdir)
    for split in (*splits, ENROLLED):
        known = recorded.get(split, {})
        seen = [clip for clip, digest in zip(clips, recordings, strict=True) if digest in known]
        if seen:
            raise UserError(
                f"{len(seen)} clips belong to the {split} split of the run in {workdir}, such as "
                f"{seen[0].path}; a clip that the model has seen cannot be judged: remove them"
            )
