"""Which figure from normal clips alone ranks detectors as real anomalies do?

python -m experiments.assess [--runs=runs/ablations,runs/slider_fewshot]

Reads the runs that the other two experiments left; each flow with each score rule is a detector to
be ranked among those of its fold.
"""

from pathlib import Path

from absl import flags

from experiments.assess.ranking import Detector, ranking_table
from experiments.runs import command, read_summary
from flowasd.errors import UserError
from flowasd.evaluation.assess import read_estimates
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
    fold, seed = run.name.split("_")
    flow = f"{run.parent.name.replace('_', ' ')} ({seed})"
    detectors = []
    for rule in dict.fromkeys(estimate.rule for estimate in estimates):
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
    done = [path for top in RUNS.value for path in Path(top).glob("*/*/results/summary.json")]
    runs = sorted(path.parent.parent for path in done)
    if not runs:
        folders = ", ".join(RUNS.value)
        raise UserError(f"no finished run in {folders}; run experiments.ablations first")
    detectors = [detector for run in runs for detector in detectors_of(run)]
    output = Path(OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    header = ["fold", "flow", "rule", "auc", *detectors[0].proxies]
    rows = [[*detector[:-1], *detector.proxies.values()] for detector in detectors]
    write_csv(output / "results.csv", [header, *rows])
    table = ranking_table(detectors)
    (output / "tables.md").write_text(f"{table}\n")
    print(f"{len(runs)} trained flows, {len(detectors)} detectors\n{table}")


if __name__ == "__main__":
    command(main)
