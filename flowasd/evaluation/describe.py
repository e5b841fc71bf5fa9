"""The lines that a run ends with."""

from collections.abc import Mapping
from typing import Any

from flowasd.evaluation import metrics
from flowasd.evaluation.alarms import describe_decisions
from flowasd.evaluation.evaluate import Evaluation
from flowasd.evaluation.examples import undefined_rules
from flowasd.scoring.inversion import ALLOWED
from flowasd.training.validation import FEWEST


def describe(evaluation: Evaluation) -> str:
    """Returns the lines that a run ends with."""
    summary = evaluation.summary
    title = f"{summary['machine_type']}, {evaluation.kind} recordings, rule `{evaluation.rule}`"
    title += f"\n{describe_step(summary)}"
    missing = {clip.machine_id for clip in evaluation.clips}
    missing -= {row.machine_id for rows in evaluation.columns.values() for row in rows}
    lines = [title]
    if evaluation.columns:
        undefined = undefined_rules(evaluation.clips)
        lines.append(metrics.table(evaluation.columns, undefined))
        if undefined:
            lines.append(f"Blank, since every clip has the same score: {', '.join(undefined)}.")
    if missing:
        ids = ", ".join(sorted(missing))
        lines.append(f"No AUC for {ids}: it takes labelled normal and anomalous test clips.")
    if (error := summary["inversion_error"]) is not None and error > ALLOWED:
        lines.append(
            f"The flow cannot be inverted in float32: inverse(forward(x)) is off by {error:.2g}, "
            "so its scores are not to be trusted; lower --config.train.learning_rate."
        )
    lines += [describe_official(evaluation), describe_decisions(summary["decisions"])]
    return "\n".join(filter(None, lines))


def describe_official(evaluation: Evaluation) -> str:
    """Says the score of the challenge from 2021 on; in 2020 it is the average above."""
    table, edition = evaluation.official, evaluation.summary["official"]["edition"]
    score = table.score()
    if not table.harmonic or score is None:
        return ""
    year = "2021" if edition == 2021 else "2022 to 2026"
    text = f"Official score of DCASE {year}: {100 * score:.1f} (harmonic mean of AUCs and pAUCs)."
    missing = len(table.rows) * len(table.counted) - len(table.values())
    return text + (f" {missing} of them are missing, for lack of clips." if missing else "")


def describe_step(summary: Mapping[str, Any]) -> str:
    """Says which training step was kept, and why."""
    best, steps = summary["best_step"], summary["steps"]
    lowest, start = summary["validation_nll"], summary["validation_nll_at_start"]
    if lowest is None or start is None:  # the curves of the run were removed
        return f"Step {best} was kept."
    chance = "by more than chance explains (paired t test over held-out clips at 1 %)"
    held_out = summary["clips"].get("validation", FEWEST)
    if best == 0 and held_out < FEWEST:
        return (
            f"The start, a Gaussian, was kept: {held_out} validation clips are too few to tell "
            f"that training lowers the NLL of new clips, which takes {FEWEST}; a larger "
            "--config.data.validation gives more."
        )
    if best == 0:
        return (
            f"The start, a Gaussian, was kept: {steps} steps did not lower its held-out NLL, "
            f"{start:.3f}, {chance}."
        )
    return (
        f"Step {best} of {steps} was kept: its held-out NLL, {lowest:.3f}, is lower than that of "
        f"the start, a Gaussian, {start:.3f}, {chance}."
    )
