"""ROC curves of the methods, and how the scores of the best one are distributed."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

matplotlib.rcParams["svg.hashsalt"] = "flowasd"  # the same picture gives the same file
FPR = np.linspace(0, 1, 501)
Row = dict[str, str]


def scores_of(run: Path) -> list[Row]:
    """Every test clip of a run with its scores."""
    paths = [path for path in (run / "results" / "scores.csv", run / "scores.csv") if path.exists()]
    with paths[0].open() as file:
        return list(csv.DictReader(file))


def mean_roc(runs: Sequence[Sequence[Row]], rule: str, machine_id: str) -> Float[np.ndarray, " n"]:
    """True-positive rate at every `FPR`, averaged over runs."""
    curves = []
    for rows in runs:
        own = [row for row in rows if row["machine_id"] == machine_id]
        if not own:
            continue  # a run of another ID alone
        labels, scores = [int(row["label"]) for row in own], [float(row[rule]) for row in own]
        fpr, tpr, _ = roc_curve(labels, scores)
        curves.append(np.interp(FPR, fpr, tpr))
    return np.mean(curves, 0)


def draw_rocs(path: Path, runs: Mapping[str, Sequence[Path]], rules: Mapping[str, str]) -> None:
    """One panel a machine ID, one curve a method, by the rule that is named for it."""
    scores = {name: [scores_of(run) for run in folders] for name, folders in runs.items()}
    ids = sorted({row["machine_id"] for runs in scores.values() for rows in runs for row in rows})
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for axes, machine_id in zip(figure.subplots(1, len(ids), squeeze=False)[0], ids, strict=True):
        for name, own in scores.items():
            axes.plot(FPR, mean_roc(own, rules[name], machine_id), label=f"{name}, {rules[name]}")
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
        axes.set(title=machine_id, xlabel="false-positive rate", xlim=(0, 0.5), ylim=(0, 1.01))
    figure.axes[0].set_ylabel("true-positive rate, mean over runs")
    figure.axes[-1].legend(fontsize=7, loc="lower right")
    figure.savefig(path, metadata={"Date": None})


def draw_distributions(path: Path, runs: Sequence[Path], rule: str) -> None:
    """One panel a machine ID: scores of normal and of anomalous test clips over all runs."""
    rows = [row for run in runs for row in scores_of(run)]
    ids = sorted({row["machine_id"] for row in rows})
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    for axes, machine_id in zip(figure.subplots(1, len(ids), squeeze=False)[0], ids, strict=True):
        own = [row for row in rows if row["machine_id"] == machine_id]
        scores = np.array([float(row[rule]) for row in own])
        labels = np.array([int(row["label"]) for row in own])
        bins = np.histogram_bin_edges(scores, 40)
        for label, name in enumerate(("normal", "anomalous")):
            axes.hist(scores[labels == label], bins, density=True, alpha=0.6, label=name)
        axes.set(title=machine_id, xlabel=f"score by {rule}", yticks=[])
    figure.axes[0].legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})
