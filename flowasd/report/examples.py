"""Examples as the report shows them: picture, sound and words of single clips."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float
from markupsafe import Markup

from flowasd.evaluation.examples import Example
from flowasd.report.explained_plot import as_svg
from flowasd.report.plots import CLASSES
from flowasd.report.words import count

SECONDS = 10  # of a sound on the page
LOUDEST = 0.9  # of the full scale; each sound is made that loud, so that it can be heard
MOST = 4  # examples on a page


def shown(examples: Sequence[Example], alpha: float) -> list[dict[str, Any]]:
    """Returns what the template shows of every example."""
    return [_shown(example, alpha) for example in examples[:MOST]]


def _shown(example: Example, alpha: float) -> dict[str, Any]:
    clip, why = example.clip, example.explanation
    flac = as_flac(example.samples, example.rate)
    seconds = min(len(example.samples) / example.rate, SECONDS)
    score = f"{why.score:.4g} by “{why.rule}”" if why else "in the table below"
    alarm = "alarm" if clip.p_value <= alpha else "no alarm"
    picture = as_svg(why, f"why {clip.name} has its score") if why else None
    return {
        "why": example.why,
        "name": clip.name,
        "note": (
            f"{clip.machine_id} · {CLASSES[clip.label]} · score {score} · "
            f"p-value {clip.p_value:.3g}, {alarm}"
        ),
        "svg": Markup(picture) if picture else None,
        "words": [region.words for region in why.regions] if why else [],
        "curve": why is not None and len(why.curve) > 1,
        "nearest": why.nearest[0].name if why and why.nearest else None,
        "audio": base64.b64encode(flac).decode(),
        "size": f"{seconds:.3g} s, {count(round(len(flac) / 1000), 'kB').removesuffix('s')}",
    }


def as_flac(samples: Float[np.ndarray, " samples"], rate: int) -> bytes:
    """Returns the first seconds of a sound as a FLAC file of 16 bits."""
    first = np.asarray(samples[: SECONDS * rate], np.float32)
    peak = float(np.abs(first).max(initial=0.0))
    loud = first * (LOUDEST / peak) if peak > 0 else first
    buffer = io.BytesIO()
    soundfile.write(buffer, loud, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
