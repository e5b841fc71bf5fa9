"""A detector for what is measured from files, and the files for it."""

from pathlib import Path

from experiments.speed.side import Side, Tasks
from flowasd import default_config as default
from flowasd.data.source import open_source
from flowasd.training.train import train

CLIPS = 128


def recordings(workdir: Path, data: str) -> list[str]:
    """Trains a detector in `workdir` (in a process of its own) and returns clips for it."""
    side = Side("experiments.speed.detectors:train_tasks", str(workdir.resolve()), data)
    paths = side.value("train")
    side.close()
    return paths


def train_tasks(workdir: str, data: str) -> Tasks:
    """`train` runs some steps of the default config, unless that is done.

    How well a flow is trained makes no difference to how fast it scores.

    Args:
        workdir: Folder of the run.
        data: Data set in DCASE's layout; none: the built-in corpus.
    """
    config = default.get_config()
    config.data.root = data
    config.data.simulated.update({"n_train": 20, "n_test": 16})
    config.train.update({"steps": 20, "warmup_steps": 5, "eval_every": 20})

    def train_and_list() -> list[str]:
        train(config, Path(workdir))
        clips = open_source(config.data, config.seed).splits["test"]
        return [str(clip.path) for clip in clips[:CLIPS]]

    return {"train": train_and_list}
