"""What to say of a training that diverged: the recordings, and how large numbers have become."""

from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx

from flowasd.flow.glow import Glow
from flowasd.training.bank import BatchSource
from flowasd.training.step import step_keys
from flowasd.training.updates import Diverged


def describe_divergence(
    diverged: Diverged, graph: nnx.GraphDef[Glow], source: BatchSource, names: Sequence[str]
) -> str:
    """Names the recordings of the least likely patches of the last batch, and the largest latent.

    Args:
        diverged: The error, which holds the last finite parameters.
        graph: Structure of the flow.
        source: Where the batches came from.
        names: Name of every training clip.
    """
    state = diverged.state
    flow = nnx.merge(graph, state.params, state.constants)
    key = step_keys(jax.random.wrap_key_data(state.key), state.step - 1)[0]
    x, machine = source.draw(key)
    latents, log_prob = flow.forward(x, machine)
    nll = np.nan_to_num(-np.asarray(log_prob.mean(1)), nan=np.inf)
    clips: list[int] = np.asarray(source.clips(key))[np.argsort(-nll, stable=True)].tolist()
    worst = [names[clip] for clip in dict.fromkeys(clips)][:3]
    largest = max(np.nan_to_num(np.abs(z), nan=np.inf).max() for z in latents)
    return f"the least likely clips are {', '.join(worst)}; the largest latent is {largest:.3g}"
