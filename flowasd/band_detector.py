"""A trained flow with its calibration: it scores bands of recordings under machine IDs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.data.machine_ids import full_id
from flowasd.data.source import DataConfig
from flowasd.errors import UserError
from flowasd.features.frontend import FrontendConfig, Standardisation, standardise
from flowasd.flow.glow import Glow
from flowasd.run.calibration_file import calibration_key, load_calibration
from flowasd.run.enrolment_file import load_enrolments
from flowasd.run.reference_file import load_reference
from flowasd.run.restored import restore_best
from flowasd.run.workdir import settings_of
from flowasd.scoring.decision import Calibration, shortage, with_p_values
from flowasd.scoring.enrolment import Row, extended, extended_calibration
from flowasd.scoring.frame_nll import frame_nll
from flowasd.scoring.reference import Reference
from flowasd.scoring.rules import Clips, Judged, judge

Own = TypeVar("Own", bound="BandDetector")  # `Self`, which beartype knows in whole classes only

CLIPS_AT_ONCE = 64


@dataclass(frozen=True)
class BandDetector:
    """A trained flow with all that it takes to score the bands of a recording.

    Attributes:
        flow: The flow.
        statistics: Standardisation of its input.
        machine_ids: The IDs that it knows, in the order of their indices.
        config: The config of its run.
        trained_on: The data set of its run.
        kind: Whether the recordings that it was trained on are `"real"` or `"SIMULATED"`.
        step: The training step that it was saved at.
        calibration: What its scores and decisions are measured by; `None` where training has not
            ended.
        reference: What explanations compare a clip with; `None` where the run has none.
        enrolled: For every machine that was added without training, a detector that knows it
            beside the others.
        workdir: Folder of its run.
    """

    flow: Glow = field(repr=False)
    statistics: Standardisation = field(repr=False)
    machine_ids: list[str]
    config: RunConfig = field(repr=False)
    trained_on: DataConfig = field(repr=False)
    kind: str
    step: int
    calibration: Calibration | None = field(default=None, repr=False)
    reference: Reference | None = field(default=None, repr=False)
    enrolled: Mapping[str, "BandDetector"] = field(default_factory=dict, repr=False)
    workdir: Path | None = None

    @classmethod
    def load(cls: type[Own], workdir: str | PathLike[str], config: RunConfig | None = None) -> Own:
        """Restores the best checkpoint of a run, and the calibration of its scores.

        Args:
            workdir: Folder of the run.
            config: As for `restore`.

        Raises:
            UserError: As `restore` does, or if the run has not ended.

        Example:
            >>> import flowasd
            >>> flowasd.Detector.load("run").kind
            'SIMULATED'
        """
        workdir = Path(workdir).expanduser()
        detector = cls.restore(workdir, config)
        key = calibration_key(detector.config, detector.step)
        calibration, reference = load_calibration(workdir, key), load_reference(workdir, key)
        detector = replace(detector, calibration=calibration.calibration, reference=reference)
        for machine_id, enrolment in load_enrolments(workdir, key).items():
            detector = detector.with_machine(machine_id, enrolment.row)
        return detector

    @classmethod
    def restore(
        cls: type[Own], workdir: str | PathLike[str], config: RunConfig | None = None
    ) -> Own:
        """Restores the best checkpoint of a run, without what only training needs.

        Args:
            workdir: Folder of the run.
            config: Scoring settings and data set to use instead of the run's own, which are those
                of the last command that trained it; all else in it must be as the run was trained.

        Raises:
            UserError: If the folder holds no checkpoint, or the config is of another model.

        Example:
            >>> import flowasd
            >>> flowasd.Detector.restore("run").calibration is None
            True
        """
        workdir = Path(workdir).expanduser()
        best = restore_best(workdir)
        settings = best.config if config is None else settings_of(workdir, best.config, config)
        trained_on = best.config.data
        return cls(
            **best._replace(config=settings)._asdict(), trained_on=trained_on, workdir=workdir
        )

    @property
    def frontend(self) -> FrontendConfig:
        """Settings of the front-end.

        Example:
            >>> import flowasd
            >>> flowasd.Detector.load("run").frontend.sample_rate
            16000
        """
        return self.config.frontend

    @property
    def known_ids(self) -> list[str]:
        """The IDs that it was trained on, and those that were enrolled.

        Example:
            >>> import flowasd
            >>> flowasd.Detector.load("run").known_ids
            ['id_00', 'id_02', 'id_04', 'id_06']
        """
        return [*self.machine_ids, *self.enrolled]

    @property
    def normal_clips(self) -> dict[str, int]:
        """How many normal clips the p-values of every ID are ranks among.

        Example:
            >>> import flowasd
            >>> sorted(flowasd.Detector.load("run").normal_clips)
            ['id_00', 'id_02', 'id_04', 'id_06']
        """
        return {machine_id: len(self.normal_scores(machine_id)) for machine_id in self.known_ids}

    def normal_scores(self, machine_id: str, rule: str = "") -> Float[np.ndarray, " clip"]:
        """Returns the scores that p-values of an ID are ranks among; by the configured rule.

        Example:
            >>> import flowasd
            >>> detector = flowasd.Detector.load("run")
            >>> len(detector.normal_scores("id_00")) == detector.normal_clips["id_00"]
            True
        """
        detector = self.enrolled.get(machine_id, self)
        machine = detector.machine_ids.index(machine_id)
        return detector.calibrated().normal.by(rule or self.config.score.rule, machine)

    def shortage(self, alpha: float | None = None) -> str | None:
        """Says which IDs have too few normal clips for a rate of false alarms, if any.

        Example:
            >>> import flowasd
            >>> flowasd.Detector.load("run").shortage(alpha=0.5) is None
            True
        """
        return shortage(self.normal_clips, self.config.score.alpha if alpha is None else alpha)

    def kind_of_p_values(self, machine_id: str) -> str:
        """Returns of which kind these clips are: `HELD_OUT` or `CROSS_FITTED`.

        Example:
            >>> import flowasd
            >>> flowasd.Detector.load("run").kind_of_p_values("id_00")
            'cross-fitted'
        """
        detector = self.enrolled.get(machine_id, self)
        return detector.calibrated().kinds[detector.machine_ids.index(machine_id)]

    def with_machine(self: Own, machine_id: str, row: Row) -> Own:
        """Returns a detector that knows one more machine by its row.

        Example:
            >>> import flowasd
            >>> from flowasd.enrolling import enrolment
            >>> detector = flowasd.Detector.load("run")
            >>> bands = [detector.statistics.mean[None]]
            >>> detector.with_machine("id_08", enrolment(detector, bands, "id_08")).known_ids[-1]
            'id_08'
        """
        wider = replace(
            self,
            flow=extended(self.flow, [row]),
            machine_ids=[*self.machine_ids, machine_id],
            calibration=extended_calibration(self.calibrated(), row),
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

        Example:
            >>> import flowasd, numpy
            >>> detector = flowasd.Detector.load("run")
            >>> bands = [numpy.zeros((40, detector.frontend.n_bands), "float32")]
            >>> sorted(detector.judge(bands, ["id_00"])[0].scores)[:3]
            ['combined', 'max', 'mean']
        """
        judged: dict[int, Judged] = {}
        machine_ids = [full_id(machine_id, self.known_ids) for machine_id in machine_ids]
        enrolled = [m if m in self.enrolled else None for m in machine_ids]
        for group in dict.fromkeys(enrolled):
            detector = self if group is None else self.enrolled[group]
            some = [i for i, own in enumerate(enrolled) if own == group]
            clips = detector.clips([bands[i] for i in some], [machine_ids[i] for i in some])
            normality, normal, _ = detector.calibrated()
            ranked = with_p_values(judge(clips, normality), clips.machine, normal)
            judged |= zip(some, ranked, strict=True)
        return [judged[i] for i in range(len(bands))]

    def calibrated(self) -> Calibration:
        """Returns its calibration; raises a `UserError` if it has none.

        Example:
            >>> import flowasd
            >>> flowasd.Detector.load("run").calibrated().normality.level.shape
            (4,)
        """
        if self.calibration is None:
            raise UserError("the detector has no calibration; Detector.load gives it one")
        return self.calibration

    def compared(self) -> Reference:
        """Returns what clips are compared with; raises a `UserError` if the run has none.

        Example:
            >>> import flowasd
            >>> type(flowasd.Detector.load("run").compared()).__name__
            'Reference'
        """
        if self.reference is None:
            raise UserError("the run has no reference.npz; repeat its training command")
        return self.reference

    def clips(
        self, log_mels: Sequence[Float[np.ndarray, "_ band"]], machine_ids: Sequence[str]
    ) -> Clips:
        """Clips with the NLL of every frame under every ID, in nats per dimension.

        Args:
            log_mels: Bands `(time, band)` in dB.
            machine_ids: The ID of every clip.

        Raises:
            UserError: If an ID is not one that the detector knows.

        Example:
            >>> import flowasd, numpy
            >>> detector = flowasd.Detector.load("run")
            >>> bands = [numpy.zeros((40, detector.frontend.n_bands), "float32")]
            >>> detector.clips(bands, ["id_00"]).nlls[0].shape
            (40, 4)
        """
        machine_ids = [full_id(machine_id, self.known_ids) for machine_id in machine_ids]
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
