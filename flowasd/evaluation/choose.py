"""Choosing among configs by stand-ins for anomalies, without any label."""

import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flowasd.config import RunConfig, parse
from flowasd.errors import UserError
from flowasd.evaluation.assess import ASSESSMENT, assess_to_csv, proxy_auc, read_estimates
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.files import write_csv
from flowasd.training.train import train


def load_config(path: str) -> RunConfig:
    """Reads a config file.

    Raises:
        UserError: If it does not load, or describes no run.
    """
    try:
        names = runpy.run_path(path)
        if "get_config" not in names:
            raise UserError(f"{path}: has no get_config; write it like configs/slider.py")
        return parse(names["get_config"]())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ImportError, NameError, SyntaxError, AttributeError, LookupError, TypeError) as error:
        raise UserError(f"{path}: the config does not load: {error}") from error


def choose(paths: Sequence[str], first: RunConfig, workdir: Path) -> str:
    """Trains several configs on the same recordings, and says which tells stand-ins best.

    No test clip is scored. The figure of a config is that of `proxy_auc` by the config's own rule.

    Args:
        paths: Config files; their data and seed are replaced by those of `first`.
        first: The config that says what the recordings are.
        workdir: Folder of the runs; each is in a folder called after its file.

    Returns:
        A table of the configs, the best first. choice.csv in the workdir has the same rows.

    Raises:
        UserError: If a config does not load, or a run is not possible.
    """
    names = [Path(path).stem for path in paths]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two configs are called {min(twice)}; rename one")
    configs = [replace(load_config(p), data=first.data, seed=first.seed) for p in paths]
    rows = []
    for name, config in zip(names, configs, strict=True):
        print(f"flowasd: {name}", file=sys.stderr)
        own = workdir / name
        train(config, own)
        calibrate_run(own)
        assess_to_csv(own, own)  # anew, because keys of the scoring may have changed
        rule = config.score.rule
        rows.append((name, rule, proxy_auc(read_estimates(own / ASSESSMENT))[rule]))
    rows.sort(key=lambda row: -row[2])
    write_csv(workdir / "choice.csv", [("config", "rule", "auc_on_stand_ins"), *rows])
    lines = [f"{name:<20} {rule:<12} {100 * auc:5.1f}" for name, rule, auc in rows]
    heading = f"{'config':<20} {'rule':<12} AUC on stand-ins, %"
    return "\n".join([heading, *lines, f"Chosen: {rows[0][0]}"])
