"""Which figure from normal clips alone ranks detectors as real anomalies do?

python -m experiments.assess [--runs=runs/ablations,runs/slider_fewshot]

Reads the runs that the other two experiments left; each flow with each score rule is a detector to
be ranked among those of its fold. Runs of one machine ID alone have a table of their own.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.assess.ranking import Detector, groups, ranking_table, with_ceiling
from experiments.runs import command, read_summary
from flowasd.errors import UserError
from flowasd.evaluation.assess import BLEND, read_estimates
from flowasd.evaluation.faults import FAULTS
from flowasd.files import write_csv

RUNS = flags.DEFINE_list(
    "runs", ["runs/ablations", "runs/slider_fewshot"], "Folders that the other experiments left."
)
OUTPUT = flags.DEFINE_string("output", "runs/assess", "Folder of the table.")


def detectors_of(run: Path) -> list[Detector]:
    """Returns one run with each rule: the real AUC, and what every proxy says.

    Raises:
        UserError: If the run was not assessed, or its results are damaged.
    """
    summary = read_summary(run / "results" / "summary.json")
    estimates = read_estimates(run / "results" / "assess.csv")
    if not estimates:
        raise UserError(f"{run}: not assessed; run --mode=assess --workdir={run}")
    fold, seed = run.name.rsplit("_", 1)
    flow = f"{run.parent.name.replace('_', ' ')} ({seed})"
    detectors = []
    for rule in dict.fromkeys(estimate.rule for estimate in estimates):
        auc: dict[str, list[float]] = {}
        for estimate in estimates:
            if estimate.rule == rule:
                auc.setdefault(estimate.stand_in, []).append(estimate.auc)
        proxies = {stand_in: sum(values) / len(values) for stand_in, values in auc.items()}
        proxies["all faults"] = sum(proxies[fault] for fault in FAULTS) / len(FAULTS)
        if BLEND in proxies:
            proxies["blend and lost_stroke"] = (proxies[BLEND] + proxies["lost_stroke"]) / 2
        proxies["held-out NLL, negative"] = -summary["validation_nll"]
        real = summary["metrics"][rule]["Average"]["auc"]
        detectors.append(Detector(fold, flow, rule, real, proxies))
    return detectors


def setting(detector: Detector) -> str:
    """Whether the detector was trained on several machine IDs or on one alone."""
    return "one machine alone" if "_id_" in detector.fold else "several machines"


def tables(detectors: Sequence[Detector]) -> str:
    """Markdown: for every setting a table of all detectors, and one of those on several folds."""
    parts = []
    for own in groups(detectors, setting):
        parts.append(f"{setting(own[0])}, {len(own)} detectors\n\n{ranking_table(own)}")
        if several := with_ceiling(own):
            title = f"{setting(own[0])}, {len(several)} detectors on several folds"
            parts.append(f"{title}\n\n{ranking_table(several)}")
    return "\n\n".join(parts)


def main() -> None:
    done = [path for top in RUNS.value for path in Path(top).glob("*/*/results/summary.json")]
    runs = sorted(path.parent.parent for path in done)
    if not runs:
        folders = ", ".join(RUNS.value)
        raise UserError(f"no finished run in {folders}; run experiments.ablations first")
    detectors = [detector for run in runs for detector in detectors_of(run)]
    output = Path(OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    proxies = [*dict.fromkeys(proxy for detector in detectors for proxy in detector.proxies)]
    header = ["fold", "flow", "rule", "auc", *proxies]
    rows = [[*d[:-1], *(d.proxies.get(proxy, "") for proxy in proxies)] for d in detectors]
    write_csv(output / "results.csv", [header, *rows])
    text = tables(detectors)
    (output / "tables.md").write_text(f"{text}\n")
    print(f"{len(runs)} trained flows\n{text}")


if __name__ == "__main__":
    command(main)
