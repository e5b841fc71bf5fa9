"""The Python API: a trained detector, restored from its workdir, that scores recordings.

Example:
    >>> detector = Detector.load(Path("runs/slider"))
    >>> for result in detector.results([Path("normal_id_00_00000000.wav")]):
    ...     print(result.path, result.score)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.data.layouts import LAYOUTS
from flowasd.errors import UserError
from flowasd.features.cache import Heard, compute_bands, hear, hear_all
from flowasd.features.frontend import FrontendConfig, Standardisation, standardise
from flowasd.flow.glow import Glow
from flowasd.run.calibration_file import calibration_key, load_calibration
from flowasd.run.enrolment_file import load_enrolments
from flowasd.run.reference_file import load_reference
from flowasd.run.restored import restore_best
from flowasd.run.workdir import settings_of
from flowasd.scoring.decision import Calibration, shortage, with_p_values
from flowasd.scoring.enrolment import Row, enrol, extended, extended_calibration
from flowasd.scoring.explanation import Explained, Explanation, explain_clip
from flowasd.scoring.frame_nll import frame_nll
from flowasd.scoring.reference import Reference
from flowasd.scoring.result import Result
from flowasd.scoring.rules import Clips, Judged, judge

CLIPS_AT_ONCE = 64


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
        calibration: What its scores and decisions are measured by; `None` where training has not
            ended.
        reference: What explanations compare a clip with; `None` where the run has none.
        enrolled: For every machine that was added without training, a detector that knows it
            beside the others.
    """

    flow: Glow
    statistics: Standardisation
    machine_ids: list[str]
    config: RunConfig
    trained_root: str
    kind: str
    step: int
    calibration: Calibration | None = None
    reference: Reference | None = None
    enrolled: Mapping[str, "Detector"] = field(default_factory=dict)

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
        detector = replace(detector, calibration=load_calibration(workdir, key).calibration)
        detector = replace(detector, reference=load_reference(workdir, key))
        for machine_id, enrolment in load_enrolments(workdir, key).items():
            detector = detector.with_machine(machine_id, enrolment.row)
        return detector

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
        best = restore_best(workdir)
        settings = best.config if config is None else settings_of(workdir, best.config, config)
        trained_root = best.config.data.root
        return cls(**best._replace(config=settings)._asdict(), trained_root=trained_root)

    @property
    def frontend(self) -> FrontendConfig:
        """Settings of the front-end."""
        return self.config.frontend

    @property
    def known_ids(self) -> list[str]:
        """The IDs that it was trained on, and those that were enrolled."""
        return [*self.machine_ids, *self.enrolled]

    @property
    def normal_clips(self) -> dict[str, int]:
        """How many normal clips the p-values of every ID are ranks among."""
        return {machine_id: len(self.normal_scores(machine_id)) for machine_id in self.known_ids}

    def normal_scores(self, machine_id: str) -> Float[np.ndarray, " clip"]:
        """Returns the scores, by the configured rule, that p-values of an ID are ranks among."""
        detector = self.enrolled.get(machine_id, self)
        machine = detector.machine_ids.index(machine_id)
        return detector._calibrated().normal.by(self.config.score.rule, machine)

    def shortage(self, alpha: float | None = None) -> str | None:
        """Says which IDs have too few normal clips for a rate of false alarms, if any."""
        return shortage(self.normal_clips, self.config.score.alpha if alpha is None else alpha)

    def kind_of_p_values(self, machine_id: str) -> str:
        """Returns of which kind these clips are: `HELD_OUT` or `CROSS_FITTED`."""
        detector = self.enrolled.get(machine_id, self)
        return detector._calibrated().kinds[detector.machine_ids.index(machine_id)]

    def enrol(self, paths: Sequence[Path], machine_id: str) -> "Detector":
        """Returns a detector that knows one more machine, from normal recordings of it.

        Nothing is trained, and the scores of the other IDs stay what they are.

        Args:
            paths: Audio files.
            machine_id: The new ID; one that was enrolled before is replaced.

        Raises:
            UserError: If a file cannot be read, the detector was trained on this ID, or its flow
                cannot take one more.
        """
        bands = [heard.bands for heard in hear_all(paths, self.frontend)]
        return self.with_machine(machine_id, self.enrolment(bands, machine_id))

    def enrolment(self, bands: Sequence[Float[np.ndarray, "_ band"]], machine_id: str) -> Row:
        """What `with_machine` needs of a new machine, from bands of its normal clips in dB.

        Raises:
            UserError: As `enrol` does.
        """
        if machine_id in self.machine_ids:
            raise UserError(f"{machine_id} was trained on; name another ID with --machine_id")
        if not bands:
            raise UserError("enrolling a machine takes one recording of it at least")
        return enrol(
            self.flow,
            self._calibrated().normality,
            [standardise(clip, self.statistics) for clip in bands],
            length=self.config.train.patch_length,
            hop=self.config.score.hop,
        )

    def with_machine(self, machine_id: str, row: Row) -> "Detector":
        """Returns a detector that knows one more machine by its row."""
        wider = replace(
            self,
            flow=extended(self.flow, [row]),
            machine_ids=[*self.machine_ids, machine_id],
            calibration=extended_calibration(self._calibrated(), row),
            enrolled={},
        )
        return replace(self, enrolled={**self.enrolled, machine_id: wider})

    def judge(
        self, bands: Sequence[Float[np.ndarray, "_ band"]], machine_ids: Sequence[str]
    ) -> list[Judged]:
        """Scores clips and ranks them; those of an enrolled machine by the detector that knows it.

        Args:
            bands: Bands `(time, band)` in dB.
            machine_ids: The ID of every clip.

        Raises:
            UserError: If an ID is not one that the detector knows, or it has no calibration.
        """
        judged: dict[int, Judged] = {}
        enrolled = [m if m in self.enrolled else None for m in machine_ids]
        for group in dict.fromkeys(enrolled):
            detector = self if group is None else self.enrolled[group]
            some = [i for i, own in enumerate(enrolled) if own == group]
            clips = detector.clips([bands[i] for i in some], [machine_ids[i] for i in some])
            normality, normal, _ = detector._calibrated()
            ranked = with_p_values(judge(clips, normality), clips.machine, normal)
            judged |= zip(some, ranked, strict=True)
        return [judged[i] for i in range(len(bands))]

    def _calibrated(self) -> Calibration:
        if self.calibration is None:
            raise UserError("the detector has no calibration; Detector.load gives it one")
        return self.calibration

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
        nlls, starts = [], range(0, len(log_mels), CLIPS_AT_ONCE)
        hidden = None if len(starts) > 1 else True
        for first in tqdm(starts, "NLL", unit="batch", leave=False, disable=hidden):
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

    def results(self, paths: Sequence[Path], machine_id: str | None = None) -> Iterator[Result]:
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

    def explain(self, recording: Path | Heard, machine_id: str | None = None) -> Explanation:
        """Says when and in which bands a recording departs from normal.

        Args:
            recording: An audio file, or what was heard of one.
            machine_id: Its ID; without it, the file's name tells.

        Raises:
            UserError: If the recording cannot be scored, or the run has no reference.npz.
        """
        if self.reference is None:
            raise UserError("the run has no reference.npz; repeat its training command")
        if isinstance(recording, Path):
            machine_id = machine_id or self.machine_id_of(recording)
            (recording,) = hear_all([recording], self.frontend)
        elif machine_id is None:
            raise UserError("name the machine ID of what was heard")
        (judged,) = self.judge([recording.bands], [machine_id])
        (spectra,) = compute_bands([recording.samples], self.frontend.unpooled, rows=1)
        owner, config = self.enrolled.get(machine_id, self), self.config
        by = Explained(
            *(owner.flow, self.statistics, self.reference, owner.machine_ids, config.frontend),
            *(config.score.rule, config.score.hop, config.train.patch_length),
        )
        return explain_clip(by, spectra, recording.bands, machine_id, judged)

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
                known = machine_id or self.machine_id_of(path)
            except UserError as error:
                results.append(Result(path, error=error))
                continue
            heard.append(result.bands)
            results.append(Result(path, known))
        scored = [result.machine_id for result in results if result.error is None]
        judged = iter(self.judge(heard, scored))
        return [
            result if result.error else self._result(result, next(judged)) for result in results
        ]

    def _result(self, result: Result, judged: Judged) -> Result:
        rule, scores = self.config.score.rule, judged.scores
        p_value = judged.p_values[rule]
        return replace(result, score=scores[rule], p_value=p_value, scores=scores)

    def machine_id_of(self, path: Path) -> str:
        """Returns the machine ID that a file's name tells.

        Raises:
            UserError: If it tells none, or one that the detector does not know.
        """
        try:
            machine_id = LAYOUTS[self.config.data.layout].parse_clip(path).machine_id
        except UserError as error:
            raise UserError(f"{error}; or give its ID with --machine_id") from error
        self._check_known(machine_id, f"{path}: ")
        return machine_id

    def _check_known(self, machine_id: str, where: str = "") -> None:
        if machine_id not in self.known_ids:
            raise UserError(
                f"{where}the model has not seen machine ID {machine_id}; "
                f"it knows {', '.join(self.known_ids)}"
            )
