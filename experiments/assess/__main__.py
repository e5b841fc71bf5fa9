"""Which figure from normal clips alone ranks detectors as real anomalies do?

python -m experiments.assess [--runs=runs/ablations]

Reads the runs that `python -m experiments.ablations` left; each variant with each score rule is a
detector to be ranked.
"""

import argparse
import csv
import json
from pathlib import Path

from experiments.assess.ranking import Detector, by_detector, ranking_table
from flowasd.assess import BLEND
from flowasd.calibration import SCORES
from flowasd.data.faults import FAULTS


def detectors_of(run: Path) -> list[Detector]:
    """One run with each rule: the real AUC, and what every proxy says."""
    summary = json.loads((run / "results" / "summary.json").read_text())
    with (run / "results" / "assess.csv").open() as file:
        estimates = list(csv.DictReader(file))
    detectors = []
    for rule in SCORES:
        auc: dict[str, list[float]] = {}
        for row in estimates:
            if row["rule"] == rule:
                auc.setdefault(row["stand_in"], []).append(float(row["auc"]))
        proxies = {stand_in: sum(values) / len(values) for stand_in, values in auc.items()}
        proxies["all faults"] = sum(proxies[fault] for fault in FAULTS) / len(FAULTS)
        proxies["faults and blend"] = (proxies["all faults"] + proxies[BLEND]) / 2
        proxies["held-out NLL, negative"] = -summary["validation_nll"]
        real = summary["metrics"][rule]["Average"]["auc"]
        detectors.append(Detector(run.parent.name.replace("_", " "), rule, real, proxies))
    return detectors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.assess")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    args = parser.parse_args()
    runs = sorted(path.parent.parent for path in args.runs.glob("*/*/results/summary.json"))
    detectors = by_detector([detector for run in runs for detector in detectors_of(run)])
    with (args.runs / "assess.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["variant", "rule", "auc", *detectors[0].proxies])
        rows.writerows([d.variant, d.rule, d.auc, *d.proxies.values()] for d in detectors)
    table = ranking_table(detectors)
    (args.runs / "assess.md").write_text(f"{table}\n")
    print(f"{len(runs)} trained flows, {len(detectors)} detectors\n{table}")


if __name__ == "__main__":
    main()
