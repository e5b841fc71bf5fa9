"""The default run: NLL training, clip-averaged NLL as the score, the `mel` shape.

    python -m flowasd.main --config=configs/slider.py --config.data.root=DIR

Two CPU cores, one to two minutes. On few-shot folds of DCASE 2020 slide rail (five folds, three
seeds, experiments/slider_fewshot) AUC 91.7 ± 0.2 and pAUC 77.2 ± 0.2; by
`--config.score.rule=combined` 99.0 ± 0.0 and 96.0 ± 0.4.
"""

from configs import default
from flowasd.typing import Config


def get_config() -> Config:
    """Returns the default config."""
    return default.get_config()
