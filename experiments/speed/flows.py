"""Training and scoring of a flow beside normflows' and FrEIA's: patches/s, FLOP rate, memory."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from experiments.speed.shapes import patch_flops, shape_config
from experiments.speed.side import Side, interleaved, open_sides
from experiments.speed.tables import Row, best_peer, best_peer_row, rate_row

GEMM = 2048  # rows and columns of the matrix product that FLOP rates are compared with
OURS = "experiments.speed.flow_ours:flow_tasks"
PEERS = "experiments.speed.flow_peers:flow_tasks"


def measure(shape: str, rounds: int) -> Iterator[Row]:
    """The figures of one shape; memory is that of a whole process, its libraries included."""
    sides = {"flowasd": Side(OURS, shape, GEMM)}
    for library in ("normflows", "freia"):
        sides |= open_sides({library: PEERS}, shape, GEMM, library)
    config = shape_config(shape)
    batch = config.train.batch_size
    patches = {"score": batch, "train": batch * config.train.log_every}
    gemm = interleaved(sides, "gemm", rounds)
    for peer in _peers(sides):
        yield rate_row(f"{shape}_gemm_vs_{peer}", gemm, peer, 2e-9 * GEMM**3, "GFLOP/s")
    for task in patches:  # scoring first: a process's peak of memory never falls
        seconds = interleaved(sides, task, rounds)
        yield from compared(f"{shape}_{task}", seconds, patches[task])
        memory = {name: side.peak_mib() for name, side in sides.items()}
        yield _beside_best(f"{shape}_{task}_memory", memory, "MiB", seconds)
        flops = patch_flops(config) * patches[task] * (3 if task == "train" else 1)
        yield _roofline(f"{shape}_{task}_roofline", flops / np.median(seconds["flowasd"]), gemm)
    parameters = {name: side.value("parameters") for name, side in sides.items()}
    for peer in _peers(parameters):
        name = f"{shape}_parameters_vs_{peer}"
        yield Row(name, parameters["flowasd"], "", parameters[peer], peer)
    for side in sides.values():
        side.close()


def _peers(sides: Mapping) -> list[str]:
    return [name for name in sides if name != "flowasd"]


def compared(name: str, seconds: Mapping[str, Sequence[float]], patches: int) -> Iterator[Row]:
    """Our rate beside every peer's and the best one's; ours alone where there is no peer."""
    for peer in _peers(seconds):
        yield rate_row(f"{name}_vs_{peer}", seconds, peer, patches, "patches/s")
    yield best_peer_row(f"{name}_vs_best_peer", seconds, patches, "patches/s")


def _beside_best(
    name: str, values: Mapping[str, float], unit: str, seconds: Mapping[str, Sequence[float]]
) -> Row:
    best = best_peer(seconds)
    if best is None:
        return Row(name, values["flowasd"], unit)
    return Row(name, values["flowasd"], unit, values[best], best, values[best] / values["flowasd"])


def _roofline(name: str, rate: float, gemm: Mapping[str, Sequence[float]]) -> Row:
    """Our FLOP rate beside that of a large matrix product, by whichever side multiplies faster."""
    fastest = min(gemm, key=lambda side: np.median(gemm[side]))
    most = 2 * GEMM**3 / float(np.median(gemm[fastest]))
    product = f"{GEMM} x {GEMM} product, {fastest}"
    return Row(name, rate / 1e9, "GFLOP/s", most / 1e9, product, rate / most)
