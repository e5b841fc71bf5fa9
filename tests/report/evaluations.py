"""Made-up evaluations to report on."""

from pathlib import Path

import numpy as np

from flowasd.evaluation import metrics
from flowasd.evaluation.assess import Estimate
from flowasd.evaluation.evaluate import Evaluation, Example, ScoredClip

HISTORY = [
    {"step": 0, "train_nll": 2.0},
    {"step": 10, "train_nll": 1.0, "validation_nll": 1.25},
    {"step": 20, "train_nll": 0.5, "validation_nll": 0.75},
    {"step": 30, "train_nll": 0.25, "validation_nll": 1.5},
]


def make_clips(ids=("id_00", "id_02"), labels=(0, 1), each=12, seed=0):
    rng = np.random.default_rng(seed)
    return [
        ScoredClip(
            f"{machine_id}_{label}_{i}.wav",
            machine_id,
            label,
            {rule: float(rng.normal() + (label or 0)) for rule in ("mean", "std", "max")},
        )
        for machine_id in ids
        for label in labels
        for i in range(each)
    ]


def make_columns(clips):
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    columns = {
        rule: metrics.per_machine(ids, labels, np.array([clip.scores[rule] for clip in clips]))
        for rule in (clips[0].scores if clips else ())
    }
    return {rule: rows for rule, rows in columns.items() if rows}


def make_example(name="clip.wav", label: int | None = 1, frames=50, n_bands=16):
    rng = np.random.default_rng(0)
    bands = rng.normal(-40, 5, (frames, n_bands)).astype(np.float32)
    return Example(name, "id_00", label, 1.5, bands, rng.normal(size=frames).astype(np.float32))


def make_estimates(curves, rule="std"):
    """Estimates of one rule: for each stand-in, its AUC by severity."""
    return [
        Estimate(stand_in, severity, rule, auc, 0.5)
        for stand_in, by_severity in curves.items()
        for severity, auc in by_severity.items()
    ]


def make_evaluation(
    *,
    title="slider",
    data="real",
    trained_on="real",
    proxy_auc=None,
    curves=None,
    facts=None,
    **changes,
):
    """An evaluation of two machine IDs by the rule `std`; `changes` are to its attributes."""
    clips = changes.setdefault("clips", make_clips())
    curves = {"hiss": {0.2: 0.5, 1.0: 0.9}} if curves is None else curves
    proxy_auc = {"std": 0.7, "mean": 0.6, "max": 0.5} if proxy_auc is None else proxy_auc
    summary = {"machine_type": title, "data": data, "trained_on": trained_on, "rule": "std"}
    summary |= {"proxy_auc": proxy_auc} if proxy_auc else {}
    if "columns" not in changes:
        changes["columns"] = make_columns(clips)
    attributes = {
        "workdir": Path("runs/mine"),
        "paths": [clip.name for clip in clips],
        "examples": [make_example("a.wav")],
        "summary": summary | ({"seed": 1} if facts is None else facts),
        "history": HISTORY,
        "estimates": make_estimates(curves),
        "hop_seconds": 0.032,
    }
    return Evaluation(**attributes | changes)
