"""Made-up evaluations to report on."""

from pathlib import Path
from typing import Any

import numpy as np

from flowasd.evaluation import metrics
from flowasd.evaluation.assess import Estimate
from flowasd.evaluation.evaluate import Evaluation
from flowasd.evaluation.examples import Example, ScoredClip
from flowasd.evaluation.official import table_2020
from flowasd.scoring.decision import alarm_threshold, p_values
from flowasd.scoring.explanation import Explanation, Neighbour
from flowasd.scoring.regions import Region

HISTORY = [
    {"step": 0, "train_nll": 2.0},
    {"step": 10, "train_nll": 1.0, "validation_nll": 1.25},
    {"step": 20, "train_nll": 0.5, "validation_nll": 0.75},
    {"step": 30, "train_nll": 0.25, "validation_nll": 1.5},
]


NORMAL = np.random.default_rng(7).normal(size=19)  # scores that p-values are ranks among
ALPHA = 0.1
# A name that would run if a page took it for markup.
HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/>&amp;$x$.wav"


def make_clip(name, machine_id, label, **scores):
    """A clip whose p-value is that of its score by `std`, if it has one."""
    (p_value,) = p_values(np.array([scores.get("std", 0.0)]), NORMAL)
    return ScoredClip(name, machine_id, label, scores, float(p_value))


def make_clips(ids=("id_00", "id_02"), labels=(0, 1), each=12, seed=0):
    rng = np.random.default_rng(seed)
    return [
        make_clip(
            f"{machine_id}_{label}_{i}.wav",
            machine_id,
            label,
            **{rule: float(rng.normal() + (label or 0)) for rule in ("mean", "std", "max")},
        )
        for machine_id in ids
        for label in labels
        for i in range(each)
    ]


def make_columns(clips):
    ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
    rules = clips[0].scores if clips else ()
    scores = {rule: np.array([clip.scores[rule] for clip in clips]) for rule in rules}
    columns = metrics.per_rule(ids, labels, scores)
    return {rule: rows for rule, rows in columns.items() if rows}


def make_explanation(frames=50, n_bands=16, **changes):
    rng = np.random.default_rng(0)
    spectra = rng.normal(-40, 5, (frames, n_bands)).astype(np.float32)
    curve = rng.normal(size=frames)
    explanation = Explanation(
        machine_id="id_00",
        score=1.5,
        p_value=0.25,
        rule="std",
        explained=float(curve.mean()),
        normal=0.25,
        map=rng.normal(size=(frames, n_bands)),
        spectra=spectra,
        level=spectra.mean(0),
        times=np.arange(frames + 1) * 0.5,
        bands=np.linspace(0, 8000, n_bands + 1),
        hertz=True,
        nll=curve,
        curve=curve,
        frame_times=0.5 * (np.arange(frames) + 0.5),
        regions=(Region(3.0, 4.0, 1e3, 2e3, 9.0, 0.5, "1.0-2.0 kHz, loud"),),
        nearest=(Neighbour("near.wav", "id_00", 1.5),),
    )
    return explanation._replace(**changes)


def make_example(name="clip.wav", label: int | None = 1, explained=True, **changes):
    samples = np.sin(np.arange(4000, dtype=np.float32))
    explanation = make_explanation(**changes) if explained else None
    return Example("A clip", make_clip(name, "id_00", label, std=1.5), samples, 4000, explanation)


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
    summary: dict[str, Any] = {
        "machine_type": title,
        "data": data,
        "trained_on": trained_on,
        "rule": "std",
    }
    summary["decisions"] = {
        "alpha": ALPHA,
        "machines": {c.machine_id: {"normal_clips": 19, "kind": "held out"} for c in clips},
    }
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
        "gamma_thresholds": {},
        "official": table_2020([]),
        "thresholds": {c.machine_id: alarm_threshold(NORMAL, ALPHA) for c in clips},
    }
    return Evaluation(**attributes | changes)
