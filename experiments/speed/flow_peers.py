# pyright: reportMissingImports=false
"""The peers' side of the comparison of flows: the training loop and the density in PyTorch."""

import importlib
import math

import torch
from torch import nn

from experiments.speed.shapes import shape_config
from experiments.speed.side import Tasks, threads
from flowasd.config import RunConfig
from flowasd.flow.bijection import LevelConfig


def flow_tasks(shape: str, gemm: int, library: str) -> Tasks:
    """Training and scoring of a shape with a library's blocks, and a large matrix product.

    The patches lie ready in the layout that PyTorch prefers; drawing them and the noise, which
    our side does as well, costs the peers nothing.

    Args:
        shape: As `shape_config` has it.
        gemm: Rows and columns of the product.
        library: `normflows` or `freia`.
    """
    torch.manual_seed(0)
    torch.set_num_threads(threads())
    config = shape_config(shape)
    flow = importlib.import_module(f"experiments.speed.flow_{library}").make_flow(config)
    optimizer = torch.optim.Adam(flow.parameters(), config.train.learning_rate, fused=True)
    frames, mel = config.train.patch_length, config.frontend.n_bands
    x = laid_out(torch.randn(config.train.batch_size, frames, mel), config)
    dimensions = frames * mel
    square = torch.randn(gemm, gemm)

    def update() -> float:
        optimizer.zero_grad()
        loss = -flow(x).mean() / dimensions
        loss.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), config.train.clip_norm)
        optimizer.step()
        return loss.item()

    def train() -> float:
        return sum(update() for _ in range(config.train.log_every)) / config.train.log_every

    @torch.inference_mode()
    def score() -> float:
        return -flow(x).mean().item() / dimensions

    def multiply() -> None:
        torch.mm(square, square)

    return {
        "train": train,
        "score": score,
        "gemm": multiply,
        "parameters": lambda: sum(p.numel() for p in flow.parameters() if p.requires_grad),
    }


def laid_out(x: torch.Tensor, config: RunConfig) -> torch.Tensor:
    """Patches `(batch, time, mel)` as `(batch, channel, time, mel)`, or mel as the channels."""
    if mel_is_channels(config):
        return x.permute(0, 2, 1)[..., None].contiguous()
    return x[:, None]


def mel_is_channels(config: RunConfig) -> bool:
    """Whether the flow's one squeeze moves all mel bands into channels: a change of layout."""
    return config.model.levels[0].squeeze in ((1, -1), (1, config.frontend.n_bands))


def input_shape(config: RunConfig) -> tuple[int, int, int]:
    """Channels, time and mel of what `laid_out` returns."""
    frames, mel = config.train.patch_length, config.frontend.n_bands
    return (mel, frames, 1) if mel_is_channels(config) else (1, frames, mel)


def coupling_net(inputs: int, outputs: int, level: LevelConfig) -> nn.Sequential:
    """The classic coupling network: convolution, pointwise layer, convolution from 0."""
    kernel = level.kernel
    padding = (kernel[0] // 2, kernel[1] // 2)
    last = nn.Conv2d(level.width, outputs, kernel, padding=padding)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Conv2d(inputs, level.width, kernel, padding=padding),
        nn.ReLU(),
        nn.Conv2d(level.width, level.width, 1),
        nn.ReLU(),
        last,
    )


def standard_normal(z: torch.Tensor) -> torch.Tensor:
    """Log-density of every sample of a batch in nats."""
    return -0.5 * (z.square().sum((1, 2, 3)) + math.log(2 * math.pi) * z[0].numel())
