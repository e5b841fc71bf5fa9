"""How well a proxy ranks detectors, and what picking by it costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

RESAMPLES = 200
CEILING = "real AUC on other folds"


class Detector(NamedTuple):
    """A flow scored by one rule, on one fold.

    Attributes:
        fold: The fold, and the machine ID if it was trained alone; only detectors of one fold are
            compared.
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


def interval(
    detectors: Sequence[Detector], figure: Callable[[Sequence[Detector]], float]
) -> tuple[float, float]:
    """The 95 % interval of a figure by a bootstrap over flows, each with all its folds and rules.

    A flow that is taken twice counts twice in a correlation.
    """
    flows = [*groups(detectors, lambda d: d.flow)]
    rng = np.random.default_rng(0)
    figures = []
    for _ in range(RESAMPLES):
        taken = rng.integers(len(flows), size=len(flows))
        figures.append(figure([detector for flow in taken for detector in flows[flow]]))
    low, high = np.nanpercentile(figures, [2.5, 97.5])
    return float(low), float(high)


def picks(detectors: Sequence[Detector], proxy: str) -> str:
    """What the proxy picks most often, and on how many of the folds."""
    picked = [
        max(own, key=lambda d: d.proxies[proxy]) for own in groups(detectors, lambda d: d.fold)
    ]
    names = [f"{d.flow}, `{d.rule}`" for d in picked]
    most = max(names, key=names.count)
    return f"{most} ({names.count(most)} of {len(names)})"


def with_ceiling(detectors: Sequence[Detector]) -> list[Detector]:
    """Adds the proxy `CEILING`: the mean AUC that the same flow and rule have on other folds.

    Those test other normal clips of the same machines. No proxy can be expected to agree better
    with the AUC of a fold. Only detectors that there are on several folds are left.
    """

    def same(d: Detector) -> tuple[str, ...]:
        return d.flow, d.rule, d.fold.partition("_")[2]  # the machine ID, if it was trained alone

    auc: dict[tuple[str, ...], dict[str, float]] = {}
    for d in detectors:
        auc.setdefault(same(d), {})[d.fold] = d.auc
    added = []
    for d in detectors:
        others = [value for fold, value in auc[same(d)].items() if fold != d.fold]
        if others:
            added.append(d._replace(proxies={CEILING: float(np.mean(others))} | {**d.proxies}))
    return added


def ranking_table(detectors: Sequence[Detector]) -> str:
    """Markdown: a row a proxy, the one that ranks all detectors best first; AUC in points."""
    lines = [
        "| proxy | all detectors [95 %] | flows, by one rule | rules, on one flow "
        "| short of the best by | picks |",
        "|---|---|---|---|---|---|",
    ]

    def of_all(proxy: str) -> float:
        return np.nan_to_num(rank_correlation(detectors, proxy, lambda d: d.fold), nan=-2)

    for proxy in sorted(detectors[0].proxies, key=of_all, reverse=True):
        low, high = interval(
            detectors, lambda some, p=proxy: rank_correlation(some, p, lambda d: d.fold)
        )
        correlations = (
            rank_correlation(detectors, proxy, lambda d: (d.fold, d.rule)),
            rank_correlation(detectors, proxy, lambda d: (d.fold, d.flow)),
        )
        cells = [proxy, f"{of_all(proxy):.2f} [{low:.2f}, {high:.2f}]"]
        cells += [f"{c:.2f}" if np.isfinite(c) else "–" for c in correlations]
        cells += [f"{100 * regret(detectors, proxy):.1f}", picks(detectors, proxy)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
