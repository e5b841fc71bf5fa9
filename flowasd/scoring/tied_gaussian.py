"""Gaussians with one covariance: the smallest conditional flow, fitted in closed form."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

PerMachine = Float[np.ndarray, "clip machine"]
PerClip = Float[np.ndarray, " clip"]
Machine = Int[np.ndarray, " clip"]


class TiedGaussian(NamedTuple):
    """A Gaussian for each machine ID over features of clips, all with one covariance.

    It is a flow of one linear map for all IDs whose base density has a mean for each ID. The
    difference of two IDs' NLLs is the decision function of linear discriminant analysis (Hastie,
    Tibshirani & Friedman, "The Elements of Statistical Learning", equation 4.9).

    Attributes:
        mean: Mean of every ID, in units of `scale`.
        scale: Standard deviation of every feature within the IDs.
        precision: Inverse of the covariance, in the same units.
    """

    mean: Float[np.ndarray, "machine feature"]
    scale: Float[np.ndarray, " feature"]
    precision: Float[np.ndarray, "feature feature"]

    def nll(self, features: Float[np.ndarray, "clip feature"]) -> PerMachine:
        """NLL of clips under every ID in nats, without the constant that they all share."""
        away = features[:, None] / self.scale - self.mean
        return 0.5 * np.einsum("cmf,fg,cmg->cm", away, self.precision, away, optimize=True)

    def nll_above_mean(
        self, features: Float[np.ndarray, "clip feature"], machine: Machine
    ) -> PerClip:
        """NLL of every clip under its own ID, less the mean of its NLLs under all IDs, in nats.

        The quadratic terms are the same for all IDs and cancel. The remaining linear form is
        computed directly: features in which the IDs do not differ then have no influence at all,
        whereas the difference of two large NLLs would leave their rounding errors.

        Args:
            features: Features of the clips.
            machine: Machine index of every clip.
        """
        centre = self.mean.mean(0)
        offset = self.mean - centre
        weight = offset @ self.precision
        energy = 0.5 * (weight * offset).sum(1)
        linear = ((features / self.scale - centre) * weight[machine]).sum(1)
        return energy[machine] - energy.mean() - linear


def fit_tied_gaussian(
    features: Float[np.ndarray, "clip feature"],
    machine: Machine,
    n_machines: int,
    scale_floor: float,
) -> TiedGaussian:
    """Fits the mean of every ID and one covariance, shrunk as Ledoit & Wolf (2004) propose.

    Args:
        features: Features of the clips; every ID has at least one clip.
        machine: Machine index of every clip.
        n_machines: Number of machine IDs.
        scale_floor: Smallest standard deviation of a feature, in the feature's unit. It keeps a
            feature that never moved in training from dominating once it moves a little.
    """
    from sklearn.covariance import LedoitWolf  # its import takes a second, which scoring need not

    mean = np.stack([features[machine == m].mean(0) for m in range(n_machines)])
    away = features - mean[machine]
    scale = np.maximum(away.std(0), scale_floor)
    covariance = np.zeros((len(scale), len(scale)))  # of a single clip
    if len(away) > 1:
        covariance = (
            LedoitWolf(assume_centered=True, store_precision=False).fit(away / scale).covariance_
        )
    # A feature that moves less than the floor gets the variance that it lacks.
    lacking = 1 - (away.std(0) / scale) ** 2
    precision = np.linalg.pinv(covariance + np.diag(lacking), hermitian=True)
    return TiedGaussian(mean / scale, scale, precision)
