"""How well a proxy ranks detectors, and what picking by it costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata


class Detector(NamedTuple):
    """A flow scored by one rule, on one fold.

    Attributes:
        fold: The fold; only detectors of one fold are compared.
        flow: Name of the trained flow.
        rule: The score rule.
        auc: AUC on real anomalies.
        proxies: What each proxy says.
    """

    fold: str
    flow: str
    rule: str
    auc: float
    proxies: Mapping[str, float]


def groups(
    detectors: Sequence[Detector], key: Callable[[Detector], object]
) -> Iterator[list[Detector]]:
    """Detectors that agree in `key`."""
    for value in dict.fromkeys(map(key, detectors)):
        yield [detector for detector in detectors if key(detector) == value]


def rank_correlation(
    detectors: Sequence[Detector], proxy: str, key: Callable[[Detector], object]
) -> float:
    """Spearman's rank correlation of a proxy with the AUC, averaged over the groups of `key`.

    Groups of fewer than three, or in which the proxy or the AUC is always the same, do not count;
    NaN if there are no others.
    """
    correlations = []
    for own in groups(detectors, key):
        auc, says = [d.auc for d in own], [d.proxies[proxy] for d in own]
        if len(own) > 2 and len(set(auc)) > 1 and len(set(says)) > 1:
            correlations.append(np.corrcoef(rankdata(auc), rankdata(says))[0, 1])
    return float(np.mean(correlations)) if correlations else float("nan")


def regret(detectors: Sequence[Detector], proxy: str) -> float:
    """AUC by which the detector that the proxy picks falls short of the best, mean over folds."""
    short = [
        max(d.auc for d in own) - max(own, key=lambda d: d.proxies[proxy]).auc
        for own in groups(detectors, lambda d: d.fold)
    ]
    return float(np.mean(short))


def picks(detectors: Sequence[Detector], proxy: str) -> str:
    """What the proxy picks on each fold, the most frequent first."""
    picked = [
        max(own, key=lambda d: d.proxies[proxy]) for own in groups(detectors, lambda d: d.fold)
    ]
    names = [f"{d.flow}, `{d.rule}`" for d in picked]
    return "; ".join(sorted(dict.fromkeys(names), key=lambda name: -names.count(name)))


def ranking_table(detectors: Sequence[Detector]) -> str:
    """Markdown: a row a proxy, the one that ranks all detectors best first; AUC in points."""
    lines = [
        "| proxy | all detectors | flows, by one rule | rules, on one flow "
        "| short of the best by | picks |",
        "|---|---|---|---|---|---|",
    ]

    def of_all(proxy: str) -> float:
        return np.nan_to_num(rank_correlation(detectors, proxy, lambda d: d.fold), nan=-2)

    for proxy in sorted(detectors[0].proxies, key=of_all, reverse=True):
        correlations = (
            rank_correlation(detectors, proxy, lambda d: d.fold),
            rank_correlation(detectors, proxy, lambda d: (d.fold, d.rule)),
            rank_correlation(detectors, proxy, lambda d: (d.fold, d.flow)),
        )
        cells = [proxy, *(f"{c:.2f}" if np.isfinite(c) else "–" for c in correlations)]
        cells += [f"{100 * regret(detectors, proxy):.1f}", picks(detectors, proxy)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
