"""Every key of a run, with its default; the other configs are short differences from this one."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from flowasd.typing import Config


def level(
    squeeze=(1, 128), steps=8, width=128, kernel=(5, 1), conditional=True, remat=False
) -> ConfigDict:
    """One level of the flow, as `flowasd.flow.glow.LevelSpec` has it; tuples are (time, mel)."""
    return ConfigDict(
        {
            "squeeze": squeeze,
            "steps": steps,
            "width": width,
            "kernel": kernel,
            "conditional": conditional,
            "remat": remat,
        }
    )


def get_config() -> Config:
    """Returns the full config."""
    config = ConfigDict(
        {
            "seed": 0,  # of splits, initial parameters, patches and noise
            "data": {
                "root": "",  # folder in DCASE layout; none: the built-in simulated corpus
                "cache": "",  # features and built-in corpus; none: the user's cache folder
                "bank_gb": 4.0,  # of training features in memory; more are read from the cache
                "validation": 0.05,  # fraction of the training clips
                "test": 0.2,  # the same, held out where there is no test folder
                "simulated": {"seed": 0, "n_train": 60, "n_test": 25},  # clips an ID
            },
            "frontend": {
                "sample_rate": 16000,  # Hz
                "n_fft": 16384,  # samples
                "hop_length": 4096,  # samples
                "n_mels": 128,
            },
            "model": {
                "levels": (level(),),
                "embed": 16,  # size of the embedding of the machine ID
                "dtype": "float32",  # of the coupling networks; bfloat16 on accelerators
            },
            "train": {
                "steps": 200,  # for some hundred clips; more clips bear more
                "batch_size": 32,  # patches
                "patch_length": 32,  # frames
                "objective": {
                    "name": "nll",  # nll, contrast or outlier
                    "weight": 1.0,  # of what contrast and outlier add to the NLL
                    "warmup_steps": 60,  # over which that weight rises from 0
                    "temperature": 0.05,  # contrast: nats per dimension
                    "margin": 0.1,  # outlier: nats per dimension
                },
                "noise": 0.03,  # standard deviation, in those of the training set
                "learning_rate": 2e-3,
                "warmup_steps": 50,
                "weight_decay": 0.0,
                "clip_norm": 1.0,
                "log_every": 20,  # steps of one dispatch
                "eval_every": 40,  # steps between validations, each with a checkpoint
            },
            "parallel": {  # processes of one run; where a launcher says all of it, none is needed
                "coordinator": "",  # HOST:PORT of process 0; none: as the launcher says, or alone
                "num_processes": placeholder(int),
                "process_id": placeholder(int),  # 0, 1, …
            },
            "score": {
                "rule": "mean",  # which column of scores.csv is `score`
                "hop": 16,  # frames between the patches that cover a clip
                "batch_size": 32,  # patches
            },
        }
    )
    return config.lock()
