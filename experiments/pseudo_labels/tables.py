"""What a second round is worth: the figures of every setting, and the tables."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.runs import spread

HEADS = ("flow once", "once", "positives", "negatives", "both")
FLOWS = ("flow once", "flow twice")
BASE = ("half", 0.2)  # the share of anomalous clips, and the share taken, of the smaller tables


class Row(NamedTuple):
    """One machine ID, pool and share taken: wrong pseudo-labels, AUC and pAUC of each score."""

    corpus: str
    clips: int
    seed: int
    view: str
    half: int
    anomalies: str
    share: float
    machine_id: str
    wrong_normal: float
    wrong_anomalous: float
    flow_once_auc: float
    flow_once_pauc: float
    once_auc: float
    once_pauc: float
    positives_auc: float
    positives_pauc: float
    negatives_auc: float
    negatives_pauc: float
    both_auc: float
    both_pauc: float
    flow_twice_auc: float | None = None
    flow_twice_pauc: float | None = None


def tables(rows: Sequence[Row]) -> str:
    """Markdown: by pool and share taken, by pool and machine, by training clips, and of flows.

    AUC / pAUC in percent are the mean over all else, then over seeds, ± the deviation over seeds.
    All but the third table are of the largest number of training clips. The second one is of
    inductive pools; from there on, the share taken is that of `BASE`.
    """
    base = [row for row in rows if row.share == BASE[1]]
    most, base_of_most = (
        [row for row in own if row.clips == max(row.clips for row in rows)] for own in (rows, base)
    )
    inductive = [row for row in base_of_most if row.view == "inductive"]
    half = [row for row in base if row.anomalies == BASE[0]]
    retrained = [row for row in most if row.flow_twice_auc is not None]
    by_share = _table(
        most,
        ("test", "anomalies", "taken"),
        lambda r: (r.view, r.anomalies, f"{100 * r.share:g} %"),
    )
    by_machine = _table(inductive, ("anomalies", "machine"), lambda r: (r.anomalies, r.machine_id))
    by_clips = _table(half, ("test", "clips"), lambda r: (r.view, str(r.clips)))
    of_flows = _table(retrained, ("machine",), lambda r: (r.machine_id,), FLOWS)
    return "\n\n".join([by_share, by_machine, by_clips, of_flows])


def _table(
    rows: Sequence[Row],
    names: Sequence[str],
    key: Callable[[Row], tuple[str, ...]],
    heads: Sequence[str] = HEADS,
) -> str:
    """A line for each value of the key; wrong pseudo-labels of both ends, and the scores."""
    columns = [*names, "wrong normal", "wrong anomalous", *heads]
    lines = [columns, ["---"] * len(columns)]
    for value in dict.fromkeys(map(key, sorted(rows, key=lambda r: r.view))):
        own = [row for row in rows if key(row) == value]
        wrong = [spread(own, f"wrong_{end}") for end in ("normal", "anomalous")]
        lines.append([*value, *wrong, *(_cell(own, head.replace(" ", "_")) for head in heads)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(rows: Sequence[Row], head: str) -> str:
    return f"{spread(rows, f'{head}_auc')} / {spread(rows, f'{head}_pauc')}"
