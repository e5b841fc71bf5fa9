"""No flow: linear discriminant analysis of the machine ID on pooled clips."""

import numpy as np
from jaxtyping import Float
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from experiments.baselines.clips import Clips, quantiles


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """How much less the discriminant function of a clip's own ID says than those of all on average.

    The features are quantiles over time of every mel band, the covariance is shrunk as Ledoit &
    Wolf (2004) have it. It takes two IDs at least.
    """
    del seed  # nothing is drawn
    scaler = StandardScaler().fit(quantiles(train))
    seen, new = (scaler.transform(quantiles(clips)) for clips in (train, test))
    n_machines = len(set(train.machine.tolist()))
    model = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(n_machines, 1 / n_machines)
    ).fit(seen, train.machine)
    says = model.decision_function(new)
    if n_machines == 2:  # scikit-learn gives the second one's less the first one's
        says = np.stack([-says, says], 1) / 2
    return {"own": says.mean(1) - says[np.arange(len(new)), test.machine]}
