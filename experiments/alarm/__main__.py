"""How often a watch raises false alarms, and how soon after a change it raises a true one.

python -m experiments.alarm --data=DIR/slider [--configs=slider] [--folds=0,1] [--seeds=0]

Without --data it only simulates the false alarms. A run that is done is not done again.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from absl import flags

from experiments.alarm.recorded import Delay, Scored, delays, scored
from experiments.alarm.simulated import REFERENCES, normal_alarms
from experiments.alarm.tables import (
    Delays,
    FalseAlarms,
    delays_table,
    false_alarms_of,
    false_alarms_table,
    summary,
)
from experiments.runs import command, config_named, numbers
from experiments.slider_fewshot.folds import lay_out_fold
from flowasd.files import write_csv

DATA = flags.DEFINE_string("data", None, "Development set: the folder slider/.")
CONFIGS = flags.DEFINE_list("configs", ["slider", "slider_best"], "Names of configs.")
FOLD_NUMBERS = flags.DEFINE_list("folds", ["0", "1"], "Numbers of the folds.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every config on every fold.")
EVERY = flags.DEFINE_list("every", ["100", "1000"], "Values of --false_alarm_every.")
NORMAL = flags.DEFINE_list("normal", ["20", "80", "160"], "Simulated: calibration clips.")
STREAMS = flags.DEFINE_integer("streams", 10000, "Simulated: streams of each setting of a watch.")
CLIPS = flags.DEFINE_integer("clips", 1000, "Simulated: clips of a stream.")
ORDERS = flags.DEFINE_integer("orders", 200, "Real: streams of each machine ID and run.")
WORKDIR = flags.DEFINE_string("workdir", "runs/alarm", "Folder of runs and tables.")


def simulated() -> Iterator[FalseAlarms]:
    """The false alarms of SIMULATED normal streams; other references get a tenth of them."""
    clips = CLIPS.value
    for reference, n, every in product(REFERENCES, numbers(NORMAL), numbers(EVERY)):
        streams = STREAMS.value if reference == REFERENCES[0] else -(-STREAMS.value // 10)
        alarms = normal_alarms(n, clips, streams, every, 0, reference)
        yield false_alarms_of(alarms, reference, n, every, clips)


def recorded(data: Path, top: Path) -> Iterator[Delays]:
    """The delays on real clips: of every run, and of all runs of a machine ID together."""
    everies, seeds, folds = numbers(EVERY), numbers(SEEDS), numbers(FOLD_NUMBERS)
    for name in CONFIGS.value:
        config_named(name)  # a wrong name is refused before the first run
    for name in CONFIGS.value:
        runs: dict[tuple[int, int], dict[str, Scored]] = {}
        for fold, seed in product(folds, seeds):
            config = config_named(name)
            laid_out = lay_out_fold(data, fold, top / "folds")
            workdir = top / name / f"fold{fold}_seed{seed}"
            runs[fold, seed] = scored(config, laid_out, workdir, seed)
        for machine_id, every in product(next(iter(runs.values())), everies):
            together: list[Delay] = []
            for (fold, seed), own in runs.items():
                found = delays(own[machine_id], every, ORDERS.value, seed)
                together += found
                yield Delays(name, machine_id, every, str(fold), str(seed), *summary(found))
            yield Delays(name, machine_id, every, "all", "all", *summary(together))


def write(top: Path, name: str, rows: Sequence[FalseAlarms] | Sequence[Delays]) -> None:
    """Writes a table as CSV."""
    write_csv(top / name, [rows[0]._fields, *rows])


def main() -> None:
    top = Path(WORKDIR.value)
    top.mkdir(parents=True, exist_ok=True)
    tables = []
    if DATA.value is not None:
        real = [*recorded(Path(DATA.value), top)]
        write(top, "results.csv", real)
        tables.append(delays_table(real))
    normal = [*simulated()]
    write(top, "simulated.csv", normal)
    tables.append(false_alarms_table(normal))
    text = "\n\n".join(tables)
    (top / "tables.md").write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    command(main)
