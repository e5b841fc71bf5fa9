"""What the report says of detection: the verdict, the table of rules, quantiles, stand-ins."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from flowasd.evaluation import metrics
from flowasd.evaluation.assess import BLEND, Estimate
from flowasd.evaluation.evaluate import Evaluation
from flowasd.evaluation.examples import ScoredClip, undefined_rules
from flowasd.report.rule_words import meaning
from flowasd.report.words import BLANK, by_machine, count, interval, percent

QUANTILES = {
    "min": 0,
    "5 %": 0.05,
    "25 %": 0.25,
    "median": 0.5,
    "75 %": 0.75,
    "95 %": 0.95,
    "max": 1,
}


def intervals(
    clips: Sequence[ScoredClip], rows: Sequence[metrics.Row]
) -> dict[str, tuple[float, float]]:
    """Returns the 95 % interval of the AUC of every row, and of their average."""
    groups = by_machine(clips)
    found = {}
    for row in rows:
        labels = [clip.label for clip in groups[row.machine_id]]
        found[row.machine_id] = metrics.auc_interval(row.auc, labels.count(0), labels.count(1))
    together = metrics.average_interval([row.auc for row in rows], list(found.values()))
    return found | {"Average": together}


def detection(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the verdict on labelled clips, and AUC and pAUC by every rule."""
    clips, columns, rule = evaluation.clips, evaluation.columns, evaluation.rule
    mean = metrics.average(columns[rule])
    weakest = min(columns[rule], key=lambda row: row.auc)
    left_out = {clip.machine_id for clip in clips} - {row.machine_id for row in columns[rule]}
    rules = dict.fromkeys([rule, *columns])  # the headline rule comes first
    undefined = undefined_rules(clips)
    bounds = intervals(clips, columns[rule])
    lines = {name: [*_average(columns[name]), *columns[name]] for name in rules}
    several = len(columns[rule]) > 1
    over = f"the average over {len(columns[rule])} machine IDs" if several else weakest.machine_id
    verdict = (
        f"AUC {percent(mean.auc)} % (95 % interval {interval(bounds['Average'])}), "
        f"pAUC {percent(mean.pauc)} %: {over}, scored by “{rule}”."
    )
    if several:
        verdict += f" Lowest AUC: {percent(weakest.auc)} % on {weakest.machine_id}."
    if rule in undefined:
        verdict = f"“{rule}” gives every clip the same score, so it tells nothing apart."
    return {
        "verdict": verdict,
        "ids": [row.machine_id for row in lines[rule]],
        "rows": [
            [name, *(_cell(name, v, undefined) for row in line for v in (row.auc, row.pauc))]
            for name, line in lines.items()
        ],
        "meanings": {name: meaning(name) for name in rules},
        "undefined": ", ".join(f"“{name}”" for name in rules if name in undefined),
        "left_out": ", ".join(sorted(left_out)),
    }


def _average(rows: Sequence[metrics.Row]) -> list[metrics.Row]:
    """Returns the average, unless it is that of a single machine."""
    return [metrics.average(rows)] if len(rows) > 1 else []


def _cell(rule: str, value: float, undefined: Sequence[str]) -> str:
    return BLANK if rule in undefined else percent(value)


def quantiles(evaluation: Evaluation) -> dict[str, Any]:
    """Returns a verdict where there is no AUC, and how the scores are spread."""
    clips, groups = evaluation.clips, by_machine(evaluation.clips)
    if any(clip.label == 1 for clip in clips):
        reason = "No machine ID has both normal and anomalous clips"
    elif all(clip.label is None for clip in clips):
        reason = "The clips have no labels"
    else:
        reason = "No anomalous clips were at hand"
    rows = []
    for machine_id, own in groups.items():
        scores = [clip.scores[evaluation.rule] for clip in own]
        values = np.quantile(scores, list(QUANTILES.values()))
        rows.append([machine_id, str(len(own)), *(f"{value:.4g}" for value in values)])
    return {
        "verdict": (
            f"{count(len(clips), 'clip')} of {count(len(groups), 'machine ID')} scored. "
            f"{reason}, so there is no AUC; the table shows how the scores are spread."
        ),
        "names": ["Machine ID", "clips", *QUANTILES],
        "rows": rows,
    }


def outlook(evaluation: Evaluation) -> dict[str, Any] | None:
    """Returns what stand-ins say; `None` if there was no assessment by the run's rule."""
    rule, estimates = evaluation.rule, evaluation.estimates
    proxy_auc: Mapping[str, float] = evaluation.summary.get("proxy_auc", {})
    if rule not in proxy_auc:
        return None
    undefined = undefined_rules(evaluation.clips)
    found = {
        name: metrics.average(rows).auc
        for name, rows in evaluation.columns.items()
        if name not in undefined
    }
    verdict = f"On stand-ins, AUC {percent(proxy_auc[rule])} % by “{rule}”"
    if rule in found:
        verdict += f"; on the test clips, {percent(found[rule])} %"
    held_out = evaluation.summary.get("clips", {}).get("validation")
    over = "“blend”, a share of another machine ID’s clip, louder or softer"
    return {
        "verdict": f"{verdict}.",
        "rests_on": f"It rests on {count(held_out, 'held-out clip')}." if held_out else "",
        "curves": severity_curves(estimates, rule),
        "mean_over": over if BLEND in {e.stand_in for e in estimates} else "the faults",
        "rows": [
            [
                name,
                _cell(name, auc, undefined),
                percent(found[name]) if name in found else BLANK,
            ]
            for name, auc in sorted(proxy_auc.items(), key=lambda item: item[0] != rule)
        ],
    }


def severity_curves(
    estimates: Sequence[Estimate], rule: str
) -> dict[str, Float[np.ndarray, "2 severity"]]:
    """Returns severity and AUC by one rule, for each stand-in."""
    points = {
        stand_in: [
            (e.severity, e.auc) for e in estimates if (e.stand_in, e.rule) == (stand_in, rule)
        ]
        for stand_in in dict.fromkeys(e.stand_in for e in estimates)
    }
    return {stand_in: np.array(sorted(values)).T for stand_in, values in points.items()}
