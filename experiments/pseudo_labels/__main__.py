"""Takes the surest clips of an unlabelled pool as labelled, and says what a second round is worth.

python -m experiments.pseudo_labels [--data=DIR/slider [--labels=LIST.csv]] [--clips=20,100]
    [--folds=0,1] [--seeds=0]

Without --data the recordings are SIMULATED. With --labels, the organisers' list, the test folder
is their evaluation set and there are no folds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from absl import flags

from experiments.clips.corpus import simulated
from experiments.clips.pooled import Pooled, recorded
from experiments.pseudo_labels.pools import Pool, evaluation_set, pools, with_causes, wrong
from experiments.pseudo_labels.rounds import Score, flow_score, learn_flow, once, surest, twice
from experiments.pseudo_labels.tables import BASE, Row, tables
from experiments.runs import command, config_named, numbers
from experiments.slider_fewshot.folds import lay_out_fold
from flowasd.config import RunConfig, parse
from flowasd.errors import UserError
from flowasd.evaluation.metrics import per_machine
from flowasd.files import write_csv

DATA = flags.DEFINE_string("data", "", "Folder slider/ of recordings; without it, SIMULATED ones.")
LABELS = flags.DEFINE_string("labels", "", "The organisers' list of the labels of test/.")
CLIPS = flags.DEFINE_list("clips", ["20", "100"], "Training clips of an ID, or all that it has.")
TEST = flags.DEFINE_integer("test", 200, "Normal, and anomalous, SIMULATED test clips of an ID.")
FOLD_NUMBERS = flags.DEFINE_list("folds", ["0", "1"], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of clips, pools, split and training.")
PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that render.", lower_bound=1)
WORKDIR = flags.DEFINE_string("workdir", "runs/pseudo_labels", "Folder of frames and tables.")
SHARES = (0.05, 0.1, 0.2, 0.4)  # of an ID's clips in the pool that each end takes


def config_of(seed: int) -> RunConfig:
    """Returns `configs/slider.py` with a seed."""
    config = config_named("slider")
    config.seed = seed
    return parse(config)


def corpora(top: Path) -> Iterator[tuple[str, Pooled, Pooled]]:
    """Yields name, training clips and test clips of every corpus."""
    config, data = config_of(0), Path(DATA.value)
    if LABELS.value and not DATA.value:
        raise UserError("--labels: name the data set that they are of with --data")
    if LABELS.value:
        yield "evaluation set", *evaluation_set(data, Path(LABELS.value), config)
    elif DATA.value:
        for fold in numbers(FOLD_NUMBERS):
            yield f"fold {fold}", *recorded(lay_out_fold(data, fold, top / "folds"), config)
    else:
        train, normal, anomalous = (
            simulated(top, config.frontend, *part, count, PROCESSES.value)
            for part, count in (
                (("train", "normal"), max(numbers(CLIPS))),
                (("test", "normal"), TEST.value),
                (("test", "anomaly"), TEST.value),
            )
        )
        yield "SIMULATED", train, normal.joined(with_causes(anomalous))


def rows_of(corpus: str, known: Pooled, data: Pooled, count: int, seed: int) -> Iterator[Row]:
    """Yields the figures of a number of training clips, for every pool and share taken."""
    config, train = config_of(seed), known.per_machine(count, seed)
    first = learn_flow(config, train)
    print(f"{corpus}, {count} clips, seed {seed}: the flow of step {first.step}", flush=True)
    scores = {"flow_once": flow_score(first, data), "once": once(train, data)}
    for pool in pools(data, seed):
        unlabelled, test = data.some(pool.clips.tolist()), data.some(pool.test.tolist())
        for share in SHARES:
            chosen = surest(scores["flow_once"][pool.clips], unlabelled.machine, share)
            found = {head: score[pool.test] for head, score in scores.items()}
            found |= twice(train, unlabelled, chosen, test)
            base = pool.view == "transductive" and (pool.anomalies, share) == BASE
            if base and count == max(numbers(CLIPS)):
                second = learn_flow(config, train, unlabelled.some(chosen[0].tolist()))
                found["flow_twice"] = flow_score(second, test)
            mistakes = partial(wrong, unlabelled, chosen)
            yield from figures((corpus, count, seed), pool, share, test, found, mistakes)


def figures(
    of: tuple[str, int, int],
    pool: Pool,
    share: float,
    test: Pooled,
    found: Mapping[str, Score],
    mistakes: Callable[[str], Iterable[float]],
) -> Iterator[Row]:
    """Yields a row for each machine ID. Here labels are read."""
    ids, labels = [c.machine_id for c in test.clips], [c.label for c in test.clips]
    measured = {head: per_machine(ids, labels, score) for head, score in found.items()}
    for rows in zip(*measured.values(), strict=True):
        areas = {f"{head}_auc": round(row.auc, 4) for head, row in zip(measured, rows, strict=True)}
        areas |= {f"{h}_pauc": round(row.pauc, 4) for h, row in zip(measured, rows, strict=True)}
        machine_id = rows[0].machine_id
        shares = (round(share, 4) for share in mistakes(machine_id))
        setting = pool.view, pool.half, pool.anomalies, share, machine_id
        yield Row(*of, *setting, *shares, **areas)


def main() -> None:
    top = Path(WORKDIR.value)
    measured = [
        row
        for corpus, known, data in corpora(top)
        for count in numbers(CLIPS)
        for seed in numbers(SEEDS)
        for row in rows_of(corpus, known, data, count, seed)
    ]
    write_csv(top / "results.csv", [Row._fields, *measured])
    text = tables(measured)
    (top / "tables.md").write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    command(main)
