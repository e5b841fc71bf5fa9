# pyright: reportMissingImports=false
"""Glow out of FrEIA's blocks."""

import FrEIA.framework as framework
import FrEIA.modules as modules
import torch

from experiments.speed.flow_peers import (
    coupling_net,
    input_shape,
    mel_is_channels,
    standard_normal,
)
from flowasd.config import RunConfig


class FreiaGlow(torch.nn.Module):
    """A graph of `AllInOneBlock`s: affine coupling, actnorm and a fixed rotation."""

    def __init__(self, config: RunConfig):
        super().__init__()
        nodes: list = [framework.InputNode(*input_shape(config))]
        last, levels = nodes[0], config.model.levels

        def add(kind, **arguments):
            nodes.append(framework.Node(last, kind, arguments))
            return nodes[-1]

        for i, level in enumerate(levels):
            if not mel_is_channels(config):
                last = add(modules.IRevNetDownsampling)
            for _ in range(level.steps):
                last = add(
                    modules.AllInOneBlock,
                    subnet_constructor=lambda a, b, level=level: coupling_net(a, b, level),
                    permute_soft=True,
                )
            if i + 1 < len(levels):
                split = add(modules.Split)
                nodes.append(framework.OutputNode(split.out1))
                last = split.out0
        nodes.append(framework.OutputNode(last))
        self.flow = framework.GraphINN(nodes, force_tuple_output=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Log-density of every sample in nats."""
        latents, log_det = self.flow(x)
        return sum((standard_normal(z) for z in latents), start=log_det)


def make_flow(config: RunConfig) -> FreiaGlow:
    """The flow of a config."""
    return FreiaGlow(config)
