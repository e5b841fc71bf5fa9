"""Explaining what a detector has heard: when and in which bands it departs from normal."""

from flowasd.band_detector import BandDetector
from flowasd.features.compute import compute_bands
from flowasd.features.hearing import Heard
from flowasd.scoring.decision import with_p_values
from flowasd.scoring.explanation import Explained, Explanation, explain_clip
from flowasd.scoring.rules import judge


def explain_heard(detector: BandDetector, heard: Heard, machine_id: str) -> Explanation:
    """Explains the score of one recording; see `Detector.explain`.

    Raises:
        UserError: If the run has no reference.npz, or the machine is unknown.
    """
    owner, config = detector.enrolled.get(machine_id, detector), detector.config
    clips = owner.clips([heard.bands], [machine_id])
    normality, normal, _ = owner.calibrated()
    (judged,) = with_p_values(judge(clips, normality), clips.machine, normal)
    (spectra,) = compute_bands([heard.samples], detector.frontend.unpooled, rows=1)
    by = Explained(
        flow=owner.flow,
        statistics=detector.statistics,
        reference=detector.compared(),
        machine_ids=owner.machine_ids,
        frontend=config.frontend,
        rule=config.score.rule,
        hop=config.score.hop,
        length=config.train.patch_length,
    )
    rule = config.score.rule
    said = machine_id, judged.scores[rule], judged.p_values[rule]
    return explain_clip(by, spectra, heard.bands, clips.nlls[0], *said)
