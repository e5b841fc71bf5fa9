"""Estimates without labels how well a detector finds anomalies.

Stand-ins take the place of anomalies that nobody has recorded. A stand-in is a held-out normal clip
that has been changed: a fault is put into it, or a clip of another machine is blended in and the
whole is made louder or softer. Test clips are not used.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.data.audio import read_audio
from flowasd.data.source import open_source
from flowasd.detector import Detector
from flowasd.evaluation import metrics
from flowasd.evaluation.faults import FAULTS, SAMPLE_RATE
from flowasd.features.cache import source_features
from flowasd.features.compute import Bands, compute_bands
from flowasd.files import read_ahead, write_csv
from flowasd.run.records import damaged
from flowasd.run.splits import open_recorded, refuse_seen
from flowasd.scoring.rules import RULES, PerClip

ASSESSMENT = Path("results", "assess.csv")  # below the folder of a run
SEVERITIES = (0.2, 0.6, 1.0)
BLEND = "blend"  # the stand-in with a share of another ID's clip, louder or softer
BLENDED_WITH = 3  # the most IDs whose clips are blended into one recording
SEED = 0  # of the faults; all detectors are assessed on the same faults


class Recording(NamedTuple):
    """A recording and the machine ID under which it is scored."""

    samples: Float[np.ndarray, " samples"]
    machine_id: str


class Estimate(NamedTuple):
    """AUC and pAUC of one rule on one stand-in, averaged over the machine IDs."""

    stand_in: str
    severity: float
    rule: str
    auc: float
    pauc: float


def assess(workdir: Path, detector: Detector) -> list[Estimate]:
    """Estimates how well a detector tells stand-ins from the clips that they are made of.

    The clips are those of the validation split. Each is scored unchanged, and as every stand-in at
    every severity. An ID without a validation clip does not count in the averages. If all clips
    are of one ID, the blend is left out.

    Args:
        workdir: Folder of the run.
        detector: The detector; its config names the recordings.

    Raises:
        UserError: If the recordings cannot be read any more, or the clips were trained on.
    """
    config, data = detector.config, detector.config.data
    if data.root == detector.trained_on.root:
        source, features = open_recorded(workdir, config)
    else:
        source = open_source(data, config.seed)
        source, features = source_features(source, config.frontend, data)
    clips = source.splits["validation"]
    refuse_seen(workdir, clips, features["validation"].recordings, ["train"])
    normal = [
        Recording(
            read_audio(c.path, SAMPLE_RATE, data.max_clip_seconds, data.channel), c.machine_id
        )
        for c in clips
    ]
    stand_ins = [*FAULTS, BLEND] if len({r.machine_id for r in normal}) > 1 else [*FAULTS]
    ids, scores = _scores(detector, _bands(detector, normal))
    cells = list(product(stand_ins, SEVERITIES))

    def heard(cell: tuple[str, float]) -> tuple[list[str], list[Bands]]:
        return _bands(detector, changed(normal, *cell))

    estimates = []
    ready = read_ahead(heard, cells, ahead=4, workers=2)
    for (stand_in, severity), other in zip(tqdm(cells, "assess", disable=None), ready, strict=True):
        other_ids, others = _scores(detector, other)
        labels = [0] * len(ids) + [1] * len(other_ids)
        both = {rule: np.concatenate([scores[rule], others[rule]]) for rule in RULES}
        for rule, rows in metrics.per_rule([*ids, *other_ids], labels, both).items():
            mean = metrics.average(rows)
            estimates.append(Estimate(stand_in, severity, rule, mean.auc, mean.pauc))
    return estimates


def changed(normal: Sequence[Recording], stand_in: str, severity: float) -> Iterator[Recording]:
    """Yields every recording as a stand-in for an anomaly."""
    if stand_in == BLEND:
        return faulty(blended(normal, severity), "loudness", severity)
    return faulty(normal, stand_in, severity)


def faulty(normal: Iterable[Recording], fault: str, severity: float) -> Iterator[Recording]:
    """Yields every recording with a fault in it."""
    rng = np.random.default_rng(SEED)
    for samples, machine_id in normal:
        yield Recording(FAULTS[fault](samples, severity, rng), machine_id)


def blended(normal: Sequence[Recording], severity: float) -> Iterator[Recording]:
    """Yields every recording blended with one clip of another ID, for some of the other IDs.

    The severity is the other clip's share of the power. At severity 1 only the other machine is
    heard. The blend keeps the recording's own ID.
    """
    clips: dict[str, list[Float[np.ndarray, " _"]]] = {}
    for samples, machine_id in normal:
        clips.setdefault(machine_id, []).append(samples)
    for i, (samples, machine_id) in enumerate(normal):
        others = sorted(clips.keys() - {machine_id})
        some = {others[(i + k) % len(others)] for k in range(min(BLENDED_WITH, len(others)))}
        for other in sorted(some):
            theirs = np.resize(clips[other][i % len(clips[other])], len(samples))
            both = math.sqrt(1 - severity) * samples + math.sqrt(severity) * theirs
            yield Recording(both, machine_id)


def _bands(detector: Detector, recordings: Iterable[Recording]) -> tuple[list[str], list[Bands]]:
    """Returns IDs of recordings and their bands, one recording after the other in memory."""
    frontend, ids, heard = detector.frontend, [], []
    for samples, machine_id in recordings:
        if frontend.sample_rate != SAMPLE_RATE:
            samples = soxr.resample(samples, SAMPLE_RATE, frontend.sample_rate)
        heard += compute_bands([samples], frontend, rows=1)
        ids.append(machine_id)
    return ids, heard


def _scores(
    detector: Detector, heard: tuple[list[str], list[Bands]]
) -> tuple[list[str], dict[str, PerClip]]:
    """Returns IDs of recordings and their scores by every rule."""
    ids, bands = heard
    judged = detector.judge(bands, ids)
    return ids, {rule: np.array([one.scores[rule] for one in judged]) for rule in RULES}


def proxy_auc(estimates: Sequence[Estimate]) -> dict[str, float]:
    """Returns the figure of every rule by which rules and runs can be compared.

    It is the mean AUC over the severities of the blend, because no other stand-in ranks detectors
    as much like real anomalies (experiments/assess). If there is no blend, it is the mean AUC over
    all faults and severities.
    """
    trusted = [BLEND] if any(e.stand_in == BLEND for e in estimates) else [*FAULTS]
    return {
        rule: float(np.mean([e.auc for e in estimates if e.rule == rule and e.stand_in in trusted]))
        for rule in dict.fromkeys(e.rule for e in estimates)
    }


def assess_to_csv(workdir: Path, folder: Path, config: RunConfig | None = None) -> str:
    """Assesses the detector of a run and writes results/assess.csv into `folder`.

    Returns:
        The text to print.
    """
    detector = Detector.load(workdir, config)
    estimates = assess(workdir, detector)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    path = folder / ASSESSMENT
    write_csv(path, [Estimate._fields, *estimates])
    heading = f"Stand-ins for anomalies among held-out normal clips, {detector.kind} recordings"
    table = describe(estimates, detector.config.score.rule)
    return f"{heading}\n{table}\nAll rules: {path}"


def read_estimates(path: Path) -> list[Estimate]:
    """Reads what `assess_to_csv` wrote; the list is empty if there is no such file.

    Rules that this version does not know are left out. The file may lack rules that this version
    knows.

    Raises:
        UserError: If the file is damaged.
    """
    if not path.exists():
        return []
    remedy = "run --mode=assess again"
    try:
        text = path.read_text()
        header, *rows = csv.reader(text.splitlines())
        estimates = [
            Estimate(stand_in, float(severity), rule, float(auc), float(pauc))
            for stand_in, severity, rule, auc, pauc in rows
        ]
    except (OSError, csv.Error, ValueError) as error:
        raise damaged(path, error, remedy) from error
    cells, rules = {e[:3] for e in estimates}, {e.rule for e in estimates}
    whole = ({*product(names, SEVERITIES, rules)} for names in ([*FAULTS], [*FAULTS, BLEND]))
    if header != [*Estimate._fields] or not text.endswith("\n") or not cells or cells not in whole:
        raise damaged(path, "not the rows of this version", remedy)
    if not all(0 <= figure <= 1 for e in estimates for figure in (e.auc, e.pauc)):
        raise damaged(path, "an AUC outside 0 to 1", remedy)
    return [estimate for estimate in estimates if estimate.rule in RULES]


def describe(estimates: Sequence[Estimate], rule: str) -> str:
    """Returns a table of the AUC by one rule in percent: rows are stand-ins, columns severities.

    The mean AUC by every rule is below it, but for rules that give every clip the same score.
    """
    lines = [f"{'AUC by ' + rule:16}" + "".join(f"{s:7.1f}" for s in SEVERITIES)]
    for stand_in in dict.fromkeys(e.stand_in for e in estimates):
        own = {
            e.severity: 100 * e.auc for e in estimates if (e.stand_in, e.rule) == (stand_in, rule)
        }
        cells = (f"{own[s]:7.1f}" if s in own else 7 * " " for s in SEVERITIES)
        lines.append(f"{stand_in:16}" + "".join(cells))
    # A rule that gives every clip the same score has these figures alone.
    defined = {e.rule for e in estimates if (e.auc, e.pauc) != (0.5, 0.5)}
    figures = {r: mean for r, mean in proxy_auc(estimates).items() if r in defined}
    means = ", ".join(f"{r} {100 * mean:.1f}" for r, mean in figures.items())
    return "\n".join([*lines, f"AUC on stand-ins, by rule: {means}"])
