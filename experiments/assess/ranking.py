"""How well a proxy ranks detectors, and what picking by it costs."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata


class Detector(NamedTuple):
    """A variant scored by one rule: its AUC on real anomalies, and what each proxy says of it."""

    variant: str
    rule: str
    auc: float
    proxies: Mapping[str, float]


def by_detector(detectors: Sequence[Detector]) -> list[Detector]:
    """Means over the folds and seeds of the same variant and rule."""
    groups: dict[tuple[str, str], list[Detector]] = {}
    for detector in detectors:
        groups.setdefault((detector.variant, detector.rule), []).append(detector)
    return [
        Detector(
            *key,
            float(np.mean([d.auc for d in own])),
            {name: float(np.mean([d.proxies[name] for d in own])) for name in own[0].proxies},
        )
        for key, own in groups.items()
    ]


def rank_correlation(detectors: Sequence[Detector], proxy: str) -> float:
    """Spearman's rank correlation of a proxy with the AUC; NaN where the proxy says one thing."""
    says = [d.proxies[proxy] for d in detectors]
    if len(set(says)) < 2:
        return float("nan")
    auc = [d.auc for d in detectors]
    return float(np.corrcoef(rankdata(auc), rankdata(says))[0, 1])


def within(detectors: Sequence[Detector], proxy: str, key: Callable[[Detector], str]) -> float:
    """The mean rank correlation within the groups that `key` makes."""
    groups: dict[str, list[Detector]] = {}
    for detector in detectors:
        groups.setdefault(key(detector), []).append(detector)
    return float(np.mean([rank_correlation(own, proxy) for own in groups.values()]))


def ranking_table(detectors: Sequence[Detector]) -> str:
    """Markdown: a row a proxy, the best at ranking all detectors first; AUC in percent."""
    best = max(detectors, key=lambda d: d.auc)
    lines = [
        "| proxy | rank correlation: all | variants, by one rule | rules, on one variant "
        "| it picks | AUC | short of the best by |",
        "|---|---|---|---|---|---|---|",
    ]
    proxies = sorted(best.proxies, key=lambda proxy: -rank_correlation(detectors, proxy))
    for proxy in proxies:
        picked = max(detectors, key=lambda d: d.proxies[proxy])
        correlations = (
            rank_correlation(detectors, proxy),
            within(detectors, proxy, lambda d: d.rule),
            within(detectors, proxy, lambda d: d.variant),
        )
        cells = [proxy, *(f"{c:.2f}" if np.isfinite(c) else "–" for c in correlations)]
        cells += [f"{picked.variant}, `{picked.rule}`", f"{100 * picked.auc:.1f}"]
        lines.append(f"| {' | '.join(cells)} | {100 * (best.auc - picked.auc):.1f} |")
    lines.append(f"\nThe best in hindsight: {best.variant}, `{best.rule}`, {100 * best.auc:.1f}.")
    return "\n".join(lines)
