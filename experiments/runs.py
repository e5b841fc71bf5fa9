"""One run of an experiment: train, assess and evaluate in a folder of its own."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from flowasd.errors import UserError
from flowasd.evaluation.assess import assess_to_csv
from flowasd.evaluation.evaluate import evaluate, write_evaluation_report, write_results
from flowasd.training.train import train
from flowasd.typing import Config


def run(config: Config, data: Path, workdir: Path, seed: int) -> dict:
    """Trains, assesses and evaluates one config on one data set; returns the run's summary.

    A run that is done is not done again, one that was cut off goes on where it was.
    """
    summary = workdir / "results" / "summary.json"
    config.data.root = str(data)
    config.seed = seed
    train(config, workdir)  # returns at once where it is done, refuses another config's run
    if not summary.exists():
        assess_to_csv(workdir, workdir)
        evaluation = evaluate(workdir)
        write_evaluation_report(workdir, evaluation, workdir)
        write_results(workdir, evaluation)
    return json.loads(summary.read_text())


def numbers(text: str) -> list[int]:
    """Numbers with commas between them, as a flag has them."""
    return [int(number) for number in text.split(",")]


def command(main: Callable[[], None]) -> None:
    """Runs the main function of an experiment; what the user can mend is one line and status 2."""
    try:
        main()
    except (UserError, OSError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        sys.exit(2)
