"""The baselines by name."""

from collections.abc import Callable, Mapping

from experiments.baselines import (
    autoencoder,
    discriminant,
    gmm,
    id_cnn,
    knn,
    maf,
    mahalanobis,
    twfr_gmm,
)
from experiments.baselines.clips import Scores

# Each takes (train, test, *, seed) and returns the scores of the test clips by every rule.
METHODS: Mapping[str, Callable[..., Scores]] = {
    "mahalanobis": mahalanobis.scores,
    "knn": knn.scores,
    "discriminant": discriminant.scores,
    "gmm": gmm.scores,
    "twfr_gmm": twfr_gmm.scores,
    "autoencoder": autoencoder.scores,
    "maf": maf.scores,
    "id_cnn": id_cnn.scores,
}
SEVERAL_IDS = ("discriminant", "id_cnn")  # those that set machine IDs against each other
