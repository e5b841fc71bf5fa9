"""The modes of the command line; `arguments.py` has their flags.

To add a mode, write a function like these and add a line to `MODES`. The docstring of the function
is the mode's help.
"""

import gc
import sys
from dataclasses import replace

from flowasd.arguments import Arguments, Mode
from flowasd.errors import UserError

NEW_OBJECTS = 50_000  # between two looks for garbage


def train(given: Arguments) -> None:
    """Trains, or goes on, then assesses, evaluates and reports.

    flowasd train --config=configs/slider.py --config.data.root=DIR --workdir=runs/a
    """
    from flowasd.evaluation.calibrate import calibrate_run
    from flowasd.training import parallel
    from flowasd.training.train import train

    if given.config is None:
        raise UserError("training needs a config, such as --config=configs/slider.py")
    # A look for garbage every 700 new objects, of which tracing makes many, takes a tenth of a run.
    gc.set_threshold(NEW_OBJECTS)
    train(given.config, given.workdir)
    if parallel.is_first():
        calibrate_run(given.workdir)
        assess(given)
        evaluate(given)


def train_all(given: Arguments) -> int:
    """Trains a model for every machine type below the root.

    Each one has a run in a folder of its own below the workdir. A type that cannot be
    trained does not stop the others.

    flowasd train_all runs/all --config=configs/slider.py --config.data.root=DIR
    """
    from flowasd.data.source import types_of
    from flowasd.evaluation.by_type import write_by_type

    if given.config is None:
        raise UserError("training needs a config, such as --config=configs/slider.py")
    done = []
    names = types_of(given.config.data)
    for name in names:
        data = replace(given.config.data, machine_type=name)
        own = replace(given, config=replace(given.config, data=data), workdir=given.workdir / name)
        print(f"flowasd: {name}", file=sys.stderr)
        try:
            train(own)
        except UserError as error:
            print(f"flowasd: {name}: {error}", file=sys.stderr)
        else:
            done.append(name)
    if done:
        print(write_by_type(given.workdir, done))
    return int(len(done) < len(names))


def choose(given: Arguments) -> None:
    """Trains several configs, and chooses one by stand-ins for anomalies.

    The first config says what the recordings are. No test clip is scored.

    flowasd choose runs/tuned a.py b.py --config=a.py --config.data.root=DIR
    """
    from flowasd.evaluation.choose import choose

    if given.config is None or not given.input:
        raise UserError("choosing needs config files, and a --config that says what data they get")
    print(choose(given.input, given.config, given.workdir))


def evaluate(given: Arguments, tables: bool = True) -> None:
    """Scores the test clips again, or those of another data set.

    flowasd evaluate runs/a --output=elsewhere
    flowasd evaluate runs/a --labels=eval_data_list.csv
    """
    from flowasd.evaluation import describe, evaluate, results
    from flowasd.report.report import write_report

    settings = given.config, given.folder, given.alpha, given.labels
    evaluation = evaluate.evaluate(given.workdir, *settings)
    if tables:
        results.write_results(given.folder, evaluation)
    write_report(given.folder / "report.html", evaluation)
    print(describe.describe(evaluation))
    print(f"Report: {given.folder / 'report.html'}")


def report(given: Arguments) -> None:
    """Does the same as evaluate, but writes only report.html."""
    evaluate(given, tables=False)


def assess(given: Arguments) -> None:
    """Estimates without labels how well anomalies are found."""
    from flowasd.evaluation.assess import assess_to_csv

    print(assess_to_csv(given.workdir, given.folder, given.config))


def score(given: Arguments) -> int:
    """Scores files and says which are alarms.

    flowasd score runs/a recordings/ --output=scores.csv
    flowasd score runs/a a.wav b.wav --machine_id=id_00 --output=-.jsonl | head
    """
    if given.engine == "ray":
        from flowasd.serving.fleet import score_fleet as score
    else:
        from flowasd.serving.score_files import score_files as score
    files, decisions = (given.input, given.machine_id, given.output), (given.alpha, given.fdr)
    return score(given.workdir, *files, given.config, *decisions)


def enrol(given: Arguments) -> None:
    """Adds a machine to a trained run, without training.

    flowasd enrol runs/a new/*.wav --machine_id=id_08
    """
    from flowasd.serving.enrol_files import enrol_files

    files = given.input, given.machine_id, given.output
    print(enrol_files(given.workdir, *files, given.config))


def calibrate(given: Arguments) -> None:
    """Lets other normal recordings say what is an alarm.

    flowasd calibrate runs/a normal/*.wav
    """
    from flowasd.serving.calibrate_files import calibrate_files

    files = given.input, given.machine_id, given.output
    print(calibrate_files(given.workdir, *files, given.config))


def explain(given: Arguments) -> int:
    """Says when and in which bands files depart from normal.

    flowasd explain runs/a a.wav --output=explained
    """
    from flowasd.report.explained import explain_files

    files = given.input, given.machine_id, given.output
    return explain_files(given.workdir, *files, given.config)


def watch(given: Arguments) -> int:
    """Scores recordings as they come into a folder, and raises alarms.

    flowasd watch runs/a FOLDER --on_alarm='python tell.py'
    """
    from flowasd.serving.watch import watch

    files = given.input, given.machine_id, given.output
    alarms = given.alpha, given.false_alarm_every, given.on_alarm, given.look_every
    return watch(given.workdir, *files, given.config, *alarms)


def export(given: Arguments) -> None:
    """Writes files that score without flowasd.

    flowasd export runs/a --output=exported
    """
    from flowasd.serving.export import export_run

    how = given.seconds, given.alpha, given.config, given.map
    print(export_run(given.workdir, given.output, *how))


MODES = {
    "train": Mode(train, "output alpha"),
    "train_all": Mode(train_all, "alpha"),
    "choose": Mode(choose, "input", "CONFIGS"),
    "evaluate": Mode(evaluate, "output alpha labels"),
    "report": Mode(report, "output alpha labels"),
    "assess": Mode(assess, "output"),
    "score": Mode(score, "input output machine_id alpha fdr engine"),
    "enrol": Mode(enrol, "input output machine_id"),
    "calibrate": Mode(calibrate, "input output machine_id"),
    "explain": Mode(explain, "input output machine_id"),
    "watch": Mode(
        watch, "input output machine_id alpha false_alarm_every on_alarm look_every", "FOLDERS"
    ),
    "export": Mode(export, "output alpha seconds map"),
}
