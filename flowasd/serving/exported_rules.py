"""The score rules that can be exported, as functions of JAX arrays, in one registry.

`flowasd.scoring.rules` has the same rules, and those that cannot be exported, as functions of NumPy
arrays. To export a further rule, write a function like `relative` and add a line to
`EXPORTED_RULES`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float


class Judging(NamedTuple):
    """What a rule is given of a batch of clips.

    Attributes:
        nlls: NLL of every frame under every ID, in nats per dimension.
        own: 1 for each clip's own ID, 0 for the others; NaN if the index is none of an ID.
        peers: Row `m` weights the IDs that a clip of ID `m` is set against; its sum is 1.
        level: Mean NLL of the frames of normal clips of every ID.
    """

    nlls: Float[Array, "batch frame machine"]
    own: Float[Array, "batch machine"]
    peers: Float[np.ndarray, "machine machine"]
    level: Float[np.ndarray, " machine"]

    @property
    def own_nll(self) -> Float[Array, "batch frame"]:
        """NLL of every frame under the clip's own ID."""
        return (self.nlls * self.own[:, None]).sum(2)

    @property
    def lead(self) -> Float[Array, "batch machine"]:
        """Weights of a mean under the own ID, less that over the IDs that it is set against."""
        return self.own - (self.own[:, :, None] * self.peers).sum(1)


Rule = Callable[[Judging], Float[Array, " batch"]]


def relative(clips: Judging) -> Float[Array, " batch"]:
    """Mean NLL under the own ID, less the mean of that over the IDs that it is set against."""
    return (clips.lead * clips.nlls.mean(1)).sum(1)


def typicality(clips: Judging) -> Float[Array, " batch"]:
    """Mean distance of the frame NLLs from the normal level of the clip's ID."""
    level = (clips.own * clips.level).sum(1)
    return abs(clips.own_nll - level[:, None]).mean(1)


EXPORTED_RULES: dict[str, Rule] = {
    "mean": lambda clips: clips.own_nll.mean(1),
    "std": lambda clips: clips.own_nll.std(1),
    "max": lambda clips: clips.own_nll.max(1),
    "typicality": typicality,
    "relative": relative,
}
