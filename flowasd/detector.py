"""The Python API: a trained detector, restored from its workdir, that scores recordings."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Float

from flowasd.band_detector import BandDetector
from flowasd.data.machine_ids import full_id, told_id
from flowasd.doubting import doubts
from flowasd.enrolling import enrolment
from flowasd.errors import UserError
from flowasd.explaining import explain_heard
from flowasd.features.hearing import Heard
from flowasd.features.recordings import Paths, Recordings, files_of, hear_recordings, ids_of
from flowasd.file_results import Result, file_results
from flowasd.files import Scratch
from flowasd.run.calibration_file import calibration_key
from flowasd.run.enrolment_file import Enrolment, save_enrolment
from flowasd.run.workdir import copy_run, record_config
from flowasd.scoring.decision import Decisions, discoveries
from flowasd.scoring.explanation import Explanation
from flowasd.scoring.frame_nll import FrameScores
from flowasd.scoring.rates import check_rates
from flowasd.scoring.rules import Judged, check_finite


@dataclass(frozen=True)
class Detector(BandDetector):
    """A trained detector that hears files and waveforms; `load` and `flowasd.fit` make one.

    Its methods take recordings in one of these forms:

    - The path of a file, a folder or a glob, which stands for all WAV and FLAC files that it
      matches, in sorted order.
    - A sequence of paths of files.
    - Waveforms: an array `(clip, sample)`, a sequence of arrays `(sample,)` of any lengths, or one
      array `(sample,)`. The samples are floating-point numbers with full scale at ±1, and
      `sample_rate` is their rate in Hz, by default that of the front-end.

    `machine_ids` is the machine ID of all recordings, or a sequence with the ID of each. Without
    it the name of a file tells its ID, as in `normal_id_00_00000000.wav`; where no name tells one,
    and for waveforms, the ID is the only one that the detector knows.

    Attributes:
        added: The machines that `enrol` has added since the run was loaded.
        scratch: The folder of the run, if it is a temporary one.

    Example:
        >>> import flowasd
        >>> detector = flowasd.Detector.load("run")
        >>> detector.known_ids
        ['id_00', 'id_02', 'id_04', 'id_06']
        >>> detector.score(["normal_id_00_00000000.flac"]).shape
        (1,)
    """

    added: Mapping[str, Enrolment] = field(default_factory=dict, repr=False)
    scratch: Scratch | None = field(default=None, repr=False)

    def score(
        self,
        recordings: Recordings,
        machine_ids: str | Sequence[str] | None = None,
        *,
        sample_rate: int | None = None,
    ) -> Float[np.ndarray, " clip"]:
        """Scores recordings by the configured rule; the larger, the more anomalous.

        Args:
            recordings: Files or waveforms.
            machine_ids: The ID of all recordings or of each.
            sample_rate: Rate of waveforms in Hz.

        Returns:
            A float64 score for each recording, in nats per dimension by the rule `mean`.

        Raises:
            UserError: If a recording cannot be used, or its machine is unknown; the message names
                it. `results` goes on after such files.

        Example:
            >>> import flowasd, numpy
            >>> detector = flowasd.Detector.load("run")
            >>> noise = numpy.random.default_rng(0).normal(size=(2, 16000)) / 10
            >>> scores = detector.score(noise, "id_00")
            >>> scores.shape, scores.dtype
            ((2,), dtype('float64'))
        """
        judged = self._judged(recordings, machine_ids, sample_rate)[1]
        return np.array([one.scores[self.config.score.rule] for one in judged], np.float64)

    def decide(
        self,
        recordings: Recordings,
        machine_ids: str | Sequence[str] | None = None,
        *,
        alpha: float | None = None,
        fdr: float | None = None,
        sample_rate: int | None = None,
    ) -> Decisions:
        """Says which recordings are alarms, by conformal p-values.

        Args:
            recordings: Files or waveforms.
            machine_ids: The ID of all recordings or of each.
            alpha: Rate of false alarms that is allowed, by default `config.score.alpha`. With too
                few normal clips there is no alarm; `shortage` says so.
            fdr: Share of false alarms among the alarms of all these recordings that is allowed
                instead.
            sample_rate: Rate of waveforms in Hz.

        Returns:
            The p-value of each recording, and whether it is an alarm.

        Raises:
            UserError: As `score` does, if `alpha` or `fdr` is not above 0 and below 1, or if both
                are given.

        Example:
            >>> import flowasd
            >>> detector = flowasd.Detector.load("run")
            >>> p_values, alarms = detector.decide(["normal_id_00_00000000.flac"], alpha=0.2)
            >>> bool(alarms[0] == (p_values[0] <= 0.2))
            True
        """
        check_rates(alpha, fdr)
        judged = self._judged(recordings, machine_ids, sample_rate)[1]
        p = np.array([one.p_values[self.config.score.rule] for one in judged], np.float64)
        if fdr is not None:
            return Decisions(p, discoveries(p, fdr))
        return Decisions(p, p <= (self.config.score.alpha if alpha is None else alpha))

    def frame_scores(
        self,
        recordings: Recordings,
        machine_ids: str | Sequence[str] | None = None,
        *,
        sample_rate: int | None = None,
    ) -> list[FrameScores]:
        """Says when each recording is unlikely.

        Args:
            recordings: Files or waveforms.
            machine_ids: The ID of all recordings or of each.
            sample_rate: Rate of waveforms in Hz.

        Returns:
            The times of the frames of each recording, and the NLL of each frame.

        Raises:
            UserError: As `score` does.

        Example:
            >>> import flowasd
            >>> detector = flowasd.Detector.load("run")
            >>> (frames,) = detector.frame_scores(["normal_id_00_00000000.flac"])
            >>> frames.seconds[:3]
            array([0.   , 0.256, 0.512])
            >>> frames.nll.shape == frames.seconds.shape
            True
        """
        heard, judged = self._judged(recordings, machine_ids, sample_rate)
        of, nlls = self.frontend, (own.nll for own in judged)
        times = (of.frame_times(of.n_spectra(len(own.samples))) for own in heard)
        return [FrameScores(*both) for both in zip(times, nlls, strict=True)]

    def explain(
        self,
        recording: str | PathLike[str] | Float[np.ndarray, " sample"],
        machine_id: str | None = None,
        *,
        sample_rate: int | None = None,
    ) -> Explanation:
        """Says when and in which bands a recording departs from normal.

        Args:
            recording: An audio file, or a waveform.
            machine_id: Its ID; without it, the file's name tells.
            sample_rate: Rate of a waveform in Hz.

        Returns:
            The time-frequency map of what raises the score, its regions in Hz, s and dB, the NLL of
            every frame, and the nearest normal clips.

        Raises:
            UserError: If the recording cannot be scored, or the run has no reference.npz, as one
                that was fitted to waveforms.

        Example:
            >>> import flowasd
            >>> detector = flowasd.Detector.load("run")
            >>> explanation = detector.explain("normal_id_00_00000000.flac")
            >>> explanation.map.shape == explanation.spectra.shape
            True
        """
        alone = recording if isinstance(recording, np.ndarray) else [recording]
        ((name, heard),) = hear_recordings(alone, self.frontend, sample_rate, self.config.data)
        known = self.known_ids
        own = full_id(machine_id, known) if machine_id else told_id(name, known, self.config.data)
        return explain_heard(self, heard, own)

    def enrol(
        self, recordings: Recordings, machine_id: str, *, sample_rate: int | None = None
    ) -> "Detector":
        """Returns a detector that knows one more machine, from normal recordings of it.

        Nothing is trained, and the scores of the other IDs stay what they are.

        Args:
            recordings: Files or waveforms.
            machine_id: The new ID; one that was enrolled before is replaced.
            sample_rate: Rate of waveforms in Hz.

        Raises:
            UserError: If a recording cannot be used, the detector was trained on this ID, or its
                flow cannot take one more.

        Example:
            >>> import flowasd
            >>> detector = flowasd.Detector.load("run")
            >>> detector.enrol(["normal_id_00_00000000.flac"], "id_08").known_ids[-1]
            'id_08'
        """
        named = hear_recordings(recordings, self.frontend, sample_rate, self.config.data)
        row = enrolment(self, [own.bands for _, own in named], machine_id)
        added = Enrolment(row, tuple(own.recording for _, own in named))
        wider = self.with_machine(machine_id, row)
        return replace(wider, added={**self.added, machine_id: added})

    def save(self, folder: str | PathLike[str]) -> None:
        """Copies the run and all enrolled machines, for `Detector.load` and `flowasd score`.

        Args:
            folder: A new or empty folder.

        Raises:
            UserError: If the folder is not empty or cannot be written, or the run is gone.

        Example:
            >>> import flowasd, tempfile
            >>> folder = tempfile.mkdtemp()
            >>> flowasd.Detector.load("run").save(folder)
            >>> flowasd.Detector.load(folder).known_ids
            ['id_00', 'id_02', 'id_04', 'id_06']
        """
        if self.workdir is None:
            raise UserError("the detector has no run to copy; Detector.load gives it one")
        folder = Path(folder).expanduser()
        copy_run(self.workdir, folder)
        record_config(folder, self.config)
        key = calibration_key(self.config, self.step)
        for machine_id, added in self.added.items():
            save_enrolment(folder, machine_id, added, key)

    def _judged(
        self,
        recordings: Recordings,
        machine_ids: str | Sequence[str] | None,
        sample_rate: int | None,
    ) -> tuple[list[Heard], list[Judged]]:
        named = hear_recordings(recordings, self.frontend, sample_rate, self.config.data)
        names, heard = [name for name, _ in named], [own for _, own in named]
        told = (told_id(name, self.known_ids, self.config.data) for name in names)
        ids = ids_of(names, machine_ids) or [*told]
        bands = [own.bands for own in heard]
        judged = self.judge(bands, ids)
        reasons = doubts(self, bands, ids, judged)
        for name, one, doubt in zip(names, judged, reasons, strict=True):
            check_finite(one, name)
            if doubt:
                warnings.warn(f"{name}: {doubt}", stacklevel=3)
        return heard, judged

    def results(self, paths: Paths, machine_id: str | None = None) -> Iterator[Result]:
        """Scores files of any length and sampling rate, some at a time, and goes on after bad ones.

        Args:
            paths: Files.
            machine_id: The ID of all of them; without it, each file's name tells.

        Returns:
            A result for every path, in order; one with an `error` where a file cannot be scored.

        Raises:
            UserError: If `machine_id` is not one that the detector knows.

        Example:
            >>> import flowasd
            >>> detector = flowasd.Detector.load("run")
            >>> for result in detector.results(["missing.wav"]):
            ...     print(result.error or result.score)
            missing.wav: no such file
        """
        known = full_id(machine_id, self.known_ids) if machine_id else None
        return file_results(self, files_of(paths), known)
