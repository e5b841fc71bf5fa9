"""What a detector learns of a new machine from its normal clips, without training."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowasd.band_detector import BandDetector
from flowasd.errors import UserError
from flowasd.features.frontend import standardise
from flowasd.scoring.enrolment import Row, enrol


def enrolment(
    detector: BandDetector, bands: Sequence[Float[np.ndarray, "_ band"]], machine_id: str
) -> Row:
    """Returns what `BandDetector.with_machine` needs of a new machine.

    Args:
        detector: The detector.
        bands: Bands `(time, band)` in dB of normal clips of the machine.
        machine_id: Its ID.

    Raises:
        UserError: If there is no clip, the detector was trained on this ID, or its flow cannot take
            one more.
    """
    if machine_id in detector.machine_ids:
        raise UserError(f"{machine_id} was trained on; name another ID with --machine_id")
    if not bands:
        raise UserError("enrolling a machine takes one recording of it at least")
    return enrol(
        detector.flow,
        detector.calibrated().normality,
        [standardise(clip, detector.statistics) for clip in bands],
        length=detector.config.train.patch_length,
        hop=detector.config.score.hop,
    )
