"""The Python API: a trained detector, restored from its workdir, that scores recordings.

Example:
    >>> detector = Detector.load(Path("runs/slider"))
    >>> for result in detector.score([Path("normal_id_00_00000000.wav")]):
    ...     print(result.path, result.score)
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from flax import nnx
from jaxtyping import Float
from ml_collections import ConfigDict

from flowasd.bank import read_log_mels
from flowasd.calibration import Calibration, Clips, clip_scores, load_calibration
from flowasd.checkpoint import Checkpoints
from flowasd.config import check_config
from flowasd.data.dcase import parse_clip
from flowasd.data.source import resolved
from flowasd.errors import UserError
from flowasd.flow.glow import Glow, make_glow
from flowasd.frontend import Frontend, Standardisation, standardise
from flowasd.scoring import frame_nll
from flowasd.typing import Config
from flowasd.workdir import check_same

CALIBRATION = "calibration.npz"  # in the workdir
CLIPS_AT_ONCE = 64


@dataclass(frozen=True)
class Result:
    """What the detector says of one file.

    Attributes:
        path: The file.
        machine_id: The ID that it was scored under.
        score: The score by the configured rule; the larger, the more anomalous.
        scores: The score by every rule.
        error: Why the file could not be scored; then there are no scores.
    """

    path: Path
    machine_id: str = ""
    score: float = float("nan")
    scores: dict[str, float] = field(default_factory=dict)
    error: UserError | None = None


@dataclass(frozen=True)
class Detector:
    """A trained flow with all that it takes to score a recording.

    Attributes:
        flow: The flow.
        statistics: Standardisation of its input.
        machine_ids: The IDs that it knows, in the order of their indices.
        config: The config of its run.
        trained_root: The data set of its run.
        kind: Whether the recordings that it was trained on are `"real"` or `"SIMULATED"`.
        step: The training step that it was saved at.
        calibration: What its scores are measured by; none yet where training has not ended.
    """

    flow: Glow
    statistics: Standardisation
    machine_ids: list[str]
    config: Config
    trained_root: str
    kind: str
    step: int
    calibration: Calibration | None = None

    @classmethod
    def load(cls, workdir: Path, config: Config | None = None) -> "Detector":
        """Restores the best checkpoint of a run, and the calibration of its scores.

        Args:
            workdir: Folder of the run.
            config: As for `restore`.

        Raises:
            UserError: As `restore` does, or if the run has not ended.
        """
        detector = cls.restore(workdir, config)
        calibration = load_calibration(workdir / CALIBRATION, detector.step)
        return replace(detector, calibration=calibration)

    @classmethod
    def restore(cls, workdir: Path, config: Config | None = None) -> "Detector":
        """Restores the best checkpoint of a run, without what only training needs.

        Args:
            workdir: Folder of the run.
            config: Scoring settings and data set to use instead of the run's own, which are those
                of the last command that trained it; all else in it must be as the run was trained.

        Raises:
            UserError: If the folder holds no checkpoint, or the config is of another model.
        """
        checkpoints = Checkpoints(workdir)
        step = checkpoints.best
        card = checkpoints.card(step)
        trained = cast(Config, ConfigDict(card["config"]))
        settings = (
            _recorded(workdir, trained) if config is None else _settings(workdir, trained, config)
        )
        make = partial(
            make_glow,
            trained.model,
            n_mels=trained.frontend.n_mels,
            n_machines=len(card["machine_ids"]),
            seed=trained.seed,
        )
        graph, params, constants = nnx.split(nnx.eval_shape(make), nnx.Param, ...)
        template = {"params": nnx.as_pure(params), "constants": nnx.as_pure(constants)}
        state = checkpoints.restore(step, "model", template)
        checkpoints.close()
        mean, std = (np.array(card[name], np.float32) for name in ("mean", "std"))
        return cls(
            flow=nnx.merge(graph, state["params"], state["constants"]),
            statistics=Standardisation(mean, std),
            machine_ids=card["machine_ids"],
            config=settings,
            trained_root=trained.data.root,
            kind=card["data"],
            step=step,
        )

    @property
    def frontend(self) -> Frontend:
        """Settings of the log-mel."""
        return Frontend(**self.config.frontend)

    def clips(
        self, log_mels: Sequence[Float[np.ndarray, "_ mel"]], machine_ids: Sequence[str]
    ) -> Clips:
        """Clips with the NLL of every frame under every ID, in nats per dimension.

        Args:
            log_mels: Log-mels `(time, mel)` in dB.
            machine_ids: The ID of every clip.

        Raises:
            UserError: If an ID is not one that the detector knows.
        """
        for machine_id in set(machine_ids):
            self._check_known(machine_id)
        nlls = []
        for first in range(0, len(log_mels), CLIPS_AT_ONCE):
            some = log_mels[first : first + CLIPS_AT_ONCE]
            nlls += frame_nll(
                self.flow,
                [standardise(log_mel, self.statistics) for log_mel in some],
                length=self.config.train.patch_length,
                hop=self.config.score.hop,
                batch_size=self.config.score.batch_size,
            )
        machine = [self.machine_ids.index(machine_id) for machine_id in machine_ids]
        return Clips(log_mels, nlls, np.array(machine, np.int32))

    def clip_scores(self, clips: Clips) -> list[dict[str, float]]:
        """The scores of every clip by every rule.

        Raises:
            UserError: If the detector has no calibration.
        """
        if self.calibration is None:
            raise UserError("the detector has no calibration; Detector.load gives it one")
        columns = clip_scores(clips, self.calibration)
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def score(self, paths: Sequence[Path], machine_id: str | None = None) -> Iterator[Result]:
        """Scores files of any length and sampling rate, some at a time.

        Args:
            paths: Audio files.
            machine_id: The ID of all of them; without it, each file's name tells.

        Returns:
            A result for every path, in order; one with an `error` where a file cannot be scored.

        Raises:
            UserError: If `machine_id` is not one that the detector knows.
        """
        if machine_id is not None:
            self._check_known(machine_id)
        return self._results(paths, machine_id)

    def _results(self, paths: Sequence[Path], machine_id: str | None) -> Iterator[Result]:
        for first in range(0, len(paths), CLIPS_AT_ONCE):
            some = read_log_mels(paths[first : first + CLIPS_AT_ONCE], self.frontend)
            yield from self._score_some(some, machine_id)

    def _score_some(self, some, machine_id: str | None) -> list[Result]:
        results, log_mels = [], []
        for path, log_mel in some:
            try:
                if isinstance(log_mel, UserError):
                    raise log_mel
                known = machine_id or self._machine_id_of(path)
            except UserError as error:
                results.append(Result(path, error=error))
                continue
            log_mels.append(log_mel)
            results.append(Result(path, known))
        scored = [result.machine_id for result in results if result.error is None]
        rows = iter(self.clip_scores(self.clips(log_mels, scored)))
        return [result if result.error else self._result(result, next(rows)) for result in results]

    def _result(self, result: Result, scores: dict[str, float]) -> Result:
        return replace(result, score=scores[self.config.score.rule], scores=scores)

    def _machine_id_of(self, path: Path) -> str:
        try:
            machine_id = parse_clip(path).machine_id
        except UserError as error:
            raise UserError(f"{error}; or give its ID with --machine_id") from error
        self._check_known(machine_id, f"{path}: ")
        return machine_id

    def _check_known(self, machine_id: str, where: str = "") -> None:
        if machine_id not in self.machine_ids:
            raise UserError(
                f"{where}the model has not seen machine ID {machine_id}; "
                f"it knows {', '.join(self.machine_ids)}"
            )


def _recorded(workdir: Path, trained: Config) -> Config:
    """The config of a run, with the scoring settings of the last command that trained it."""
    path = workdir / "config.json"
    if path.exists():
        try:
            trained.score.update(json.loads(path.read_text())["score"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error}); repeat the training command") from error
    return trained


def _settings(workdir: Path, trained: Config, config: Config) -> Config:
    """Checks another config against that of a run, and gives it the run's root if it has none."""
    check_config(config)
    settings = resolved(config)
    settings.data.root = settings.data.root or trained.data.root
    before = json.loads(trained.to_json())
    before["data"]["root"] = settings.data.root
    check_same(workdir, before, settings)
    return settings
