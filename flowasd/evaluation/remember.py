"""What a run remembers of its training clips, for explanations."""

from collections.abc import Sequence

import numpy as np

from flowasd.data.clips import Clip
from flowasd.detector import Detector
from flowasd.features.cache import Features
from flowasd.features.frontend import standardise
from flowasd.features.hearing import hear_all
from flowasd.scoring.reference import Reference, mean_latents, mean_quantiles

LISTENED_TO = 30  # clips of an ID, whose spectra say what is normal; of more, every n-th
REMEMBERED = 2000  # clips of all IDs, which may be named as the nearest ones


def reference(detector: Detector, clips: Sequence[Clip], features: Features) -> Reference:
    """Describes the training clips, for explanations."""
    quantiles = []
    for machine_id in detector.machine_ids:
        own = _some(
            [i for i, clip in enumerate(clips) if clip.machine_id == machine_id], LISTENED_TO
        )
        if detector.frontend.windows[0]:
            heard = hear_all(
                [clips[i].path for i in own], detector.frontend.unpooled, detector.config.data
            )
            quantiles.append(mean_quantiles(one.bands for one in heard))
        else:
            quantiles.append(mean_quantiles(features.clip(i) for i in own))
    some = _some(range(len(clips)), REMEMBERED)
    frames = [standardise(clip, detector.statistics) for clip in features.some(some).clips()]
    return Reference(
        np.array(quantiles),
        mean_latents(detector.flow, frames, detector.config.train.patch_length),
        np.array([detector.machine_ids.index(clips[i].machine_id) for i in some]),
        tuple(clips[i].name for i in some),
    )


def _some(items: Sequence[int], most: int) -> Sequence[int]:
    """Returns every n-th item, so that there are at most so many."""
    return items[:: -(-len(items) // most)]
