"""Detectors for what is measured from files, and the files for them."""

from pathlib import Path

from configs import slider
from experiments.speed.side import Side, Tasks
from flowasd.config import default_config, parse
from flowasd.data.source import open_source
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.training.train import train

CLIPS = 128
CONFIGS = {"mel": default_config, "slider": slider.get_config}


def recordings(workdir: Path, config: str, data: str) -> list[str]:
    """Trains a detector in `workdir` (in a process of its own) and returns clips for it."""
    side = Side("experiments.speed.detectors:train_tasks", str(workdir.resolve()), config, data)
    paths = side.value("train")
    side.close()
    return paths


def train_tasks(workdir: str, name: str, data: str) -> Tasks:
    """`train` runs one step of a config, unless that is done.

    How well a flow is trained makes no difference to how fast it scores.

    Args:
        workdir: Folder of the run.
        name: Which of `CONFIGS`.
        data: Data set in DCASE's layout; if empty, the built-in corpus.
    """
    config = CONFIGS[name]()
    config.data.root = data
    config.data.simulated.update({"n_train": 20, "n_test": 16})
    config.train.update({"steps": 1, "warmup_steps": 0, "log_every": 1, "eval_every": 1})

    def train_and_list() -> list[str]:
        settings = parse(config)
        train(settings, Path(workdir))
        calibrate_run(Path(workdir))
        clips = open_source(settings.data, settings.seed).splits["test"]
        return [str(clip.path) for clip in clips[:CLIPS]]

    return {"train": train_and_list}
