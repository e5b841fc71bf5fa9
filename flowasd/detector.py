"""The Python API: a trained detector, restored from its workdir, that scores recordings.

Example:
    >>> detector = Detector.load(Path("runs/slider"))
    >>> for result in detector.score([Path("normal_id_00_00000000.wav")]):
    ...     print(result.path, result.score)
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from flax import nnx
from jaxtyping import Float

from flowasd.config import RunConfig
from flowasd.data.layouts import LAYOUTS
from flowasd.errors import UserError
from flowasd.features.cache import Heard, hear
from flowasd.features.frontend import FrontendConfig, Standardisation, standardise
from flowasd.flow.glow import Glow, make_glow
from flowasd.run.calibration_file import calibration_key, load_calibration
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.workdir import check_same, read_config
from flowasd.scoring.frame_nll import frame_nll
from flowasd.scoring.rules import Clips, Normality, clip_scores
from flowasd.settings import build

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
        normality: What its scores are measured by; `None` where training has not ended.
    """

    flow: Glow
    statistics: Standardisation
    machine_ids: list[str]
    config: RunConfig
    trained_root: str
    kind: str
    step: int
    normality: Normality | None = None

    @classmethod
    def load(cls, workdir: Path, config: RunConfig | None = None) -> "Detector":
        """Restores the best checkpoint of a run, and the calibration of its scores.

        Args:
            workdir: Folder of the run.
            config: As for `restore`.

        Raises:
            UserError: As `restore` does, or if the run has not ended.
        """
        detector = cls.restore(workdir, config)
        key = calibration_key(detector.config, detector.step)
        return replace(detector, normality=load_calibration(workdir, key))

    @classmethod
    def restore(cls, workdir: Path, config: RunConfig | None = None) -> "Detector":
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
        trained = build(RunConfig, card["config"], f"{workdir}: config")
        if (workdir / "config.json").exists():  # the checkpoint alone is enough to score
            recorded = read_config(workdir)
            check_same(workdir, trained, recorded)
            trained = recorded
        settings = trained if config is None else _settings(workdir, trained, config)
        make = partial(
            make_glow,
            trained.model,
            n_bands=trained.frontend.n_bands,
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
    def frontend(self) -> FrontendConfig:
        """Settings of the front-end."""
        return self.config.frontend

    def clips(
        self, log_mels: Sequence[Float[np.ndarray, "_ band"]], machine_ids: Sequence[str]
    ) -> Clips:
        """Clips with the NLL of every frame under every ID, in nats per dimension.

        Args:
            log_mels: Bands `(time, band)` in dB.
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
        return Clips(nlls, np.array(machine, np.int32))

    def clip_scores(self, clips: Clips) -> list[dict[str, float]]:
        """The scores of every clip by every rule.

        Raises:
            UserError: If the detector has no calibration.
        """
        if self.normality is None:
            raise UserError("the detector has no calibration; Detector.load gives it one")
        columns = clip_scores(clips, self.normality)
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
            some = hear(paths[first : first + CLIPS_AT_ONCE], self.frontend)
            yield from self._score_some(some, machine_id)

    def _score_some(
        self, some: Iterable[tuple[Path, Heard | UserError]], machine_id: str | None
    ) -> list[Result]:
        results, heard = [], []
        for path, result in some:
            try:
                if isinstance(result, UserError):
                    raise result
                known = machine_id or self._machine_id_of(path)
            except UserError as error:
                results.append(Result(path, error=error))
                continue
            heard.append(result.bands)
            results.append(Result(path, known))
        scored = [result.machine_id for result in results if result.error is None]
        rows = iter(self.clip_scores(self.clips(heard, scored)))
        return [result if result.error else self._result(result, next(rows)) for result in results]

    def _result(self, result: Result, scores: dict[str, float]) -> Result:
        return replace(result, score=scores[self.config.score.rule], scores=scores)

    def _machine_id_of(self, path: Path) -> str:
        try:
            machine_id = LAYOUTS[self.config.data.layout].parse_clip(path).machine_id
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


def _settings(workdir: Path, trained: RunConfig, config: RunConfig) -> RunConfig:
    """Checks another config against that of a run, and gives it the run's root if it has none."""
    check_same(workdir, trained, config)
    root = config.data.root or trained.data.root
    return replace(config, data=replace(config.data, root=root))
