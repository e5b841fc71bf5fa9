# pyright: reportMissingImports=false
"""Glow out of normflows' blocks."""

import normflows
import torch

from experiments.speed.flow_peers import coupling_net, input_shape, mel_is_channels
from flowasd.config import RunConfig
from flowasd.flow.bijection import LevelConfig


class NormflowsGlow(torch.nn.Module):
    """`MultiscaleFlow` as normflows' own Glow example builds it; the call is the log-density.

    Where there are several machine IDs, the base density depends on them, as that example's does
    on classes; `GlowBlock` has no condition.
    """

    def __init__(self, config: RunConfig, n_machines: int):
        super().__init__()
        channels, time, mel = input_shape(config)
        flows, merges, bases = [], [], []
        for i, level in enumerate(config.model.levels):
            squeeze = [] if mel_is_channels(config) else [normflows.flows.Squeeze()]
            if squeeze:
                channels, time, mel = 4 * channels, time // 2, mel // 2
            flows.append([_block(channels, level) for _ in range(level.steps)] + squeeze)
            if i + 1 < len(config.model.levels):
                merges.append(normflows.flows.Merge())
                channels //= 2
            shape = (channels, time, mel)
            bases.append(
                normflows.distributions.ClassCondDiagGaussian(shape, n_machines)
                if n_machines > 1
                else normflows.distributions.DiagGaussian(shape)
            )
        # normflows counts its levels from the latents outwards
        self.flow = normflows.MultiscaleFlow(
            bases[::-1], flows[::-1], merges[::-1], class_cond=n_machines > 1
        )

    def forward(self, x: torch.Tensor, machine: torch.Tensor | None = None) -> torch.Tensor:
        """Log-density of every sample in nats."""
        return self.flow.log_prob(x, machine)


def _block(channels: int, level: LevelConfig) -> normflows.flows.GlowBlock:
    block = normflows.flows.GlowBlock(channels, level.width)
    if level.kernel != (3, 3):  # the only one that GlowBlock offers
        kept = (channels + 1) // 2
        coupling = block.flows[0].flows[1]
        coupling.param_map = coupling_net(kept, 2 * (channels - kept), level)
    return block


def make_flow(config: RunConfig, n_machines: int = 1) -> NormflowsGlow:
    """The flow of a config."""
    return NormflowsGlow(config, n_machines)
