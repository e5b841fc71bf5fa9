"""What the experiments share: configs, runs in folders of their own, spreads, a command line."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from flowasd.command_line import run_command
from flowasd.config import parse
from flowasd.errors import UserError
from flowasd.evaluation.assess import assess_to_csv
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.results import write_results
from flowasd.report.report import write_report
from flowasd.run.records import read_record
from flowasd.training.train import train


def run(config: ConfigDict, data: Path, workdir: Path, seed: int) -> dict[str, Any]:
    """Trains, assesses and evaluates one config on one data set; returns the run's summary.

    A run that is done is not done again, and one that was cut off goes on where it was.
    """
    summary = workdir / "results" / "summary.json"
    config.update_from_flattened_dict({"data.root": str(data), "seed": seed})
    train(parse(config), workdir)  # returns at once if it is done, refuses another config's run
    if not summary.exists():
        calibrate_run(workdir)
        assess_to_csv(workdir, workdir)
        evaluation = evaluate(workdir)
        write_report(workdir / "report.html", evaluation)
        write_results(workdir, evaluation)  # the summary is written last
    return read_summary(summary)


def config_named(name: str, flag: str = "--configs") -> ConfigDict:
    """Returns the config of `configs/NAME.py`; a `UserError` if there is none."""
    if importlib.util.find_spec(f"configs.{name}") is None:
        raise UserError(f"{flag}: there is no configs/{name}.py")
    return importlib.import_module(f"configs.{name}").get_config()


def spread(figures: Iterable[Any], column: str) -> str:
    """The mean of each seed over all else; then, over seeds, mean ± deviation, in percent.

    Args:
        figures: Rows with a `seed`.
        column: Name of the value.
    """
    by_seed: dict[int, list[float]] = {}
    for figure in figures:
        by_seed.setdefault(figure.seed, []).append(100 * getattr(figure, column))
    means = [np.mean(values) for values in by_seed.values()]
    deviation = f" ± {np.std(means, ddof=1):.1f}" if len(means) > 1 else ""
    return f"{np.mean(means):.1f}{deviation}"


def read_summary(path: Path) -> dict[str, Any]:
    """Reads the summary of a run; a `UserError` if it is damaged or of another format."""
    return read_record(path, f"remove {path.parent} and repeat the command")


def numbers(flag: flags.FlagHolder[list[str]]) -> list[int]:
    """Returns the numbers of a flag such as `--folds=0,4`."""
    try:
        return [int(number) for number in flag.value]
    except ValueError as error:
        raise UserError(f"--{flag.name}: {error}; write it as --{flag.name}=0,4") from error


def command(main: Callable[[], int | None]) -> None:
    """Runs the main function of an experiment on the command's flags and exits."""
    run_command(main, "experiments")
