"""One of each that can be added to flowasd, from outside the package."""

import jax
import jax.numpy as jnp
import numpy as np

from flowasd.data.clips import Clip, Dataset
from flowasd.data.layouts import LAYOUTS
from flowasd.data.layouts.layout import Layout
from flowasd.evaluation.results import FORMATS
from flowasd.features.frontend import FRONTENDS, log_mel
from flowasd.flow.bijection import Bijection
from flowasd.flow.level import BIJECTIONS
from flowasd.flow.objective import OBJECTIVES
from flowasd.scoring.rules import RULES


class Reverse(Bijection):
    def forward(self, x, condition):
        return x[..., ::-1], jnp.zeros(x.shape[:2], x.dtype)

    def inverse(self, y, condition):
        return y[..., ::-1]


def parse_name(path):
    return Clip(path, path.stem.split("-")[0], int("bad" in path.stem))


def list_flat(root):
    clips = [parse_name(path) for path in sorted(root.glob("*.wav"))]
    return Dataset("flat", tuple(clips[::2]), tuple(clips[1::2]))


FRONTENDS["loud"] = lambda samples, frontend: log_mel(2 * samples, frontend)
BIJECTIONS["reverse"] = Reverse
OBJECTIVES["sharp"] = lambda nlls, machine, config: jax.nn.relu(-nlls).sum(1)
RULES["range"] = lambda clips, normality: np.array([float(n.max() - n.min()) for n in clips.nlls])
LAYOUTS["flat"] = Layout(lambda root, split: [root], list_flat, parse_name)
FORMATS[".txt"] = lambda stream, columns: lambda row: stream.write(" ".join(map(str, row)) + "\n")
