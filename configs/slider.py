"""The default run: NLL training, clip-averaged NLL as the score, the `mel` shape.

    python -m flowasd.main --config=configs/slider.py --config.data.root=DIR

Two CPU cores, two to three minutes. On few-shot folds of DCASE 2020 slide rail (five folds, three
seeds, experiments/slider_fewshot) AUC 88.8 ± 0.2 and pAUC 69.2 ± 0.6; by `--config.score.rule=std`
93.4 ± 0.4 and 81.6 ± 1.5. Without a root, on the simulated corpus, one seed: AUC 90.5, pAUC 82.5.
"""

from configs import default
from flowasd.typing import Config


def get_config() -> Config:
    """Returns the default config."""
    return default.get_config()
