"""Test clips for data sets that say what is normal, but not what is tested."""

from collections import defaultdict
from collections.abc import Sequence

from flowasd.data.clips import Clip
from flowasd.data.splits import hash_fraction


def hold_out(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Splits clips into training and test clips.

    As in the paper of MIMII (Purohit et al., 2019), all anomalous clips of an ID are tested, and as
    many normal ones; but never more than half of the normal ones. A hash of their names chooses
    them.

    Args:
        clips: Labelled clips of all IDs.

    Returns:
        Training clips and test clips.
    """
    normal: dict[str, list[Clip]] = defaultdict(list)
    anomalous: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        (anomalous if clip.label else normal)[clip.machine_id].append(clip)
    tested = {clip for own in anomalous.values() for clip in own}
    for machine_id, own in normal.items():
        count = min(len(anomalous[machine_id]), len(own) // 2)
        tested |= {*sorted(own, key=lambda clip: hash_fraction(clip.name, 0))[:count]}
    return tuple(c for c in clips if c not in tested), tuple(c for c in clips if c in tested)
