"""What every score rule means, in a line; a rule from elsewhere is described by its docstring."""

from flowasd.scoring.rules import RULES

MEANINGS = {
    "mean": "the mean NLL of the frames: how unlikely the clip is as a whole",
    "std": "the standard deviation of the frame NLL: how uneven the clip is",
    "max": "the NLL of the most unlikely frame",
    "p75": "the frame NLL that three quarters of the frames stay below",
    "top10": "the mean NLL of the most unlikely tenth of the frames",
    "typicality": "the mean distance of the frame NLL from that of normal clips, up or down",
    "relative": "the NLL under the own machine ID less the mean over all IDs",
    "combined": "“mean” and “relative” joined, each as the p-value of a normal distribution",
}


def meaning(rule: str) -> str:
    """Returns what a rule means; it is empty if nobody has said it."""
    if rule in MEANINGS:
        return MEANINGS[rule]
    words = (getattr(RULES.get(rule), "__doc__", None) or "").strip().splitlines()
    return words[0].rstrip(".") if words else ""
