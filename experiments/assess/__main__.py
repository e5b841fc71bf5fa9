"""Which figure from normal clips alone ranks detectors as real anomalies do?

python -m experiments.assess [--runs runs/ablations runs/slider_fewshot]

Reads the runs that the other two experiments left; each flow with each score rule is a detector to
be ranked among those of its fold.
"""

import argparse
import csv
import json
from pathlib import Path

from experiments.assess.ranking import Detector, ranking_table
from experiments.runs import command
from flowasd.errors import UserError
from flowasd.evaluation.assess import read_estimates
from flowasd.evaluation.faults import FAULTS
from flowasd.scoring.rules import SCORES


def detectors_of(run: Path) -> list[Detector]:
    """One run with each rule: the real AUC, and what every proxy says."""
    summary = json.loads((run / "results" / "summary.json").read_text())
    estimates = read_estimates(run / "results" / "assess.csv")
    fold, seed = run.name.split("_")
    flow = f"{run.parent.name.replace('_', ' ')} ({seed})"
    detectors = []
    for rule in SCORES:
        auc: dict[str, list[float]] = {}
        for estimate in estimates:
            if estimate.rule == rule:
                auc.setdefault(estimate.stand_in, []).append(estimate.auc)
        proxies = {stand_in: sum(values) / len(values) for stand_in, values in auc.items()}
        proxies["all faults"] = sum(proxies[fault] for fault in FAULTS) / len(FAULTS)
        proxies["held-out NLL, negative"] = -summary["validation_nll"]
        real = summary["metrics"][rule]["Average"]["auc"]
        detectors.append(Detector(fold, flow, rule, real, proxies))
    return detectors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.assess")
    folders = [Path("runs/ablations"), Path("runs/slider_fewshot")]
    parser.add_argument("--runs", type=Path, nargs="+", default=folders)
    parser.add_argument("--output", type=Path, default=Path("runs/assess"))
    args = parser.parse_args()
    done = [path for runs in args.runs for path in runs.glob("*/*/results/summary.json")]
    runs = sorted(path.parent.parent for path in done)
    if not runs:
        folders = ", ".join(map(str, args.runs))
        raise UserError(f"no finished run in {folders}; run experiments.ablations first")
    detectors = [detector for run in runs for detector in detectors_of(run)]
    args.output.mkdir(parents=True, exist_ok=True)
    with (args.output / "results.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["fold", "flow", "rule", "auc", *detectors[0].proxies])
        rows.writerows([*d[:-1], *d.proxies.values()] for d in detectors)
    table = ranking_table(detectors)
    (args.output / "tables.md").write_text(f"{table}\n")
    print(f"{len(runs)} trained flows, {len(detectors)} detectors\n{table}")


if __name__ == "__main__":
    command(main)
