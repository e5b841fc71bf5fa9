"""Training from Python: recordings in, a detector out, by the same path as the command's."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ml_collections import ConfigDict

from flowasd.config import RunConfig, parse, pooled_config
from flowasd.data.clips import MACHINE, Clip
from flowasd.data.dataset import conditioned, read_dataset
from flowasd.data.layouts import AUTO
from flowasd.data.source import DataConfig, Source, clip_of
from flowasd.data.splits import split_clips
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.features.cache import kept_features, usable_features
from flowasd.features.recordings import Recordings, hear_recordings, ids_of, paths_of
from flowasd.files import Scratch
from flowasd.run.splits import Opened
from flowasd.training.train import train

GIVEN = "recordings given to flowasd.fit"  # the data.root of such a run


def fit(
    recordings: Recordings,
    machine_ids: str | Sequence[str] | None = None,
    *,
    sample_rate: int | None = None,
    config: ConfigDict | RunConfig | None = None,
    workdir: str | PathLike[str] | None = None,
) -> Detector:
    """Trains a detector on normal recordings, and calibrates it.

    Args:
        recordings: Normal recordings, in one of the forms of `flowasd.Detector`: paths of WAV or
            FLAC files, or waveforms `(clip, sample)` of floats with full scale at ±1. It may also
            be the path of a CSV manifest, or of a folder whose layout `config.data.layout` names;
            the training clips of these are trained on, under their machine IDs.
        machine_ids: The machine ID of all recordings, or a sequence with the ID of each. Without
            it the names of files tell their IDs, as in `normal_id_00_00000000.wav`. If no name
            tells one, and for waveforms, all recordings are of one machine, `"machine"`.
        sample_rate: Rate of waveforms in Hz; by default that of the front-end, 16 000.
        config: Settings, such as a changed `flowasd.config.pooled_config()`, which is the default
            and the config of configs/slider.py. Its `data.root` is ignored.
        workdir: Folder of the run, which goes on if it was cut off. By default it is a temporary
            folder, which goes with the detector; `Detector.save` keeps it.

    Returns:
        The detector.

    Raises:
        UserError: If recordings cannot be used or are too few, or config or workdir do not allow
            the run.

    Example:
        >>> import flowasd, numpy
        >>> from flowasd.config import pooled_config
        >>> config = pooled_config()
        >>> config.train.update(steps=4, warmup_steps=1, log_every=2, eval_every=2)
        >>> noise = numpy.random.default_rng(0).normal(size=(12, 16000)) / 10
        >>> detector = flowasd.fit(noise, config=config)
        >>> detector.known_ids
        ['machine']
        >>> bool(detector.score(0.95 * noise)[0] > detector.score(noise)[0])
        True
    """
    settings = config if isinstance(config, RunConfig) else parse(config or pooled_config())
    settings = replace(settings, data=replace(settings.data, root=GIVEN))
    if machine_ids is None and (clips := _laid_out(recordings, settings.data)):
        recordings, machine_ids = [c.path for c in clips], [c.machine_id for c in clips]
    opened = _open(recordings, machine_ids, sample_rate, settings)
    scratch = Scratch() if workdir is None else None
    folder = scratch.path if scratch else Path(str(workdir)).expanduser()
    train(settings, folder, opened)
    calibrate_run(folder, opened)
    return replace(Detector.load(folder), scratch=scratch)


def _laid_out(recordings: Recordings, data: DataConfig) -> tuple[Clip, ...]:
    """The training clips of a manifest, or of a folder whose layout is named; else none."""
    if not isinstance(recordings, str | PathLike):
        return ()
    root = Path(recordings).expanduser()
    if data.layout == AUTO and root.suffix.lower() != ".csv":
        return ()
    dataset = read_dataset(root, data.layout, data.machine_type)
    return tuple(conditioned(clip, data.condition) for clip in dataset.train)


def _open(
    recordings: Recordings,
    machine_ids: str | Sequence[str] | None,
    sample_rate: int | None,
    config: RunConfig,
) -> Opened:
    """Returns the clips of every split and their features."""
    paths = paths_of(recordings)
    if paths is None or sample_rate is not None:
        named = hear_recordings(recordings, config.frontend, sample_rate, config.data)
        names = used = [name for name, _ in named]
        features = kept_features([own for _, own in named], config.frontend)
    else:
        names = paths
        used, features = usable_features(paths, config.frontend, config.data)
    ids = ids_of(names, machine_ids) or _ids_in_names(names, config.data)
    clips = [Clip(name, own, 0) for name, own in zip(names, ids, strict=True) if name in {*used}]
    data = config.data
    splits = split_clips(clips, config.seed, data.validation, calibration=data.calibration)
    splits |= {"test": ()}
    place = {clip: i for i, clip in enumerate(clips)}
    parts = {split: features.some([place[clip] for clip in own]) for split, own in splits.items()}
    return Source(MACHINE, False, False, splits), parts


def _ids_in_names(names: Sequence[Path], data: DataConfig) -> list[str]:
    """Returns the ID that every name tells, or `MACHINE` for all if none tells one.

    Raises:
        UserError: If only some names tell an ID, or a name says that a recording is anomalous.
    """
    clips, errors = [], []
    for name in names:
        try:
            clips.append(clip_of(name, data))
        except UserError as error:
            errors.append(error)
    if not clips:
        return [MACHINE] * len(names)
    if errors:
        raise UserError(f"{errors[0]}; or give machine_ids")
    if anomalous := [clip for clip in clips if clip.label == 1]:
        raise UserError(f"{anomalous[0].path}: only normal recordings are trained on; leave it out")
    return [clip.machine_id for clip in clips]
