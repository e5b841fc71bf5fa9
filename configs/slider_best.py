"""The best detector: a flow trained to tell the machine IDs apart, and one rule for all of them.

python -m flowasd.main --config=configs/slider_best.py --config.data.root=DIR

"""

from configs import default
from flowasd.typing import Config


def get_config() -> Config:
    """Returns the default config with the objective `contrast` and the rule `combined`."""
    config = default.get_config()
    config.model.levels[0].conditional = False
    config.train.steps = 300  # the IDs go on parting after the NLL has turned
    config.train.objective.name = "contrast"
    config.train.objective.temperature = 0.2
    config.score.rule = "combined"
    return config
