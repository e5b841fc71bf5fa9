"""Explaining what a detector has heard: when and in which bands it departs from normal."""

from flowasd.band_detector import BandDetector
from flowasd.errors import UserError
from flowasd.features.cache import Heard, compute_bands
from flowasd.scoring.explanation import Explained, Explanation, explain_clip


def explain_heard(detector: BandDetector, heard: Heard, machine_id: str) -> Explanation:
    """Explains the score of one recording; see `Detector.explain`.

    Raises:
        UserError: If the run has no reference.npz, or the machine is unknown.
    """
    if detector.reference is None:
        raise UserError("the run has no reference.npz; repeat its training command")
    (judged,) = detector.judge([heard.bands], [machine_id])
    (spectra,) = compute_bands([heard.samples], detector.frontend.unpooled, rows=1)
    owner, config = detector.enrolled.get(machine_id, detector), detector.config
    by = Explained(
        *(owner.flow, detector.statistics, detector.reference, owner.machine_ids, config.frontend),
        *(config.score.rule, config.score.hop, config.train.patch_length),
    )
    return explain_clip(by, spectra, heard.bands, machine_id, judged)
