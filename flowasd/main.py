"""The command line: flags and modes.

python -m flowasd.main --config=configs/slider.py --workdir=runs/slider
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from flowasd.command_line import run_command
from flowasd.config import parse
from flowasd.errors import UserError
from flowasd.training import parallel

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, such as configs/slider.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; default runs/<config name>.")
MODES = [
    "train",
    "evaluate",
    "report",
    "assess",
    "score",
    "enrol",
    "calibrate",
    "explain",
    "export",
    "watch",
]
MODE = flags.DEFINE_enum("mode", "train", MODES, "What to do.")
INPUT = flags.DEFINE_multi_string(
    "input",
    [],
    "Score, enrol, calibrate, explain: a file, folder or glob; watch: a folder. It may be repeated.",
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Score: the file to write (.csv or .jsonl), or with --engine=ray the folder. "
    "Evaluate, report, assess and enrol: the folder to write to instead of the workdir. "
    "Explain: the folder to write to instead of explained/ in the workdir. "
    "Export: the folder to write to; default WORKDIR/export. "
    "Watch: the CSV to append to; default watch.csv in the workdir.",
)
ENGINE = flags.DEFINE_enum("engine", "local", ["local", "ray"], "Score: what it runs on.")
MACHINE_ID = flags.DEFINE_string(
    "machine_id",
    None,
    "Score, enrol, calibrate, explain, watch: the ID of all inputs, such as id_00.",
)
ALPHA = flags.DEFINE_float(
    "alpha",
    None,
    "Train, evaluate, report, score, watch, export: rate of false alarms that a decision allows, "
    "such as 0.01.",
    lower_bound=0.0,
    upper_bound=1.0,
)
FDR = flags.DEFINE_float(
    "fdr",
    None,
    "Score: share of false alarms among the alarms of all inputs, instead of --alpha.",
    lower_bound=0.0,
    upper_bound=1.0,
)
SECONDS = flags.DEFINE_float(
    "seconds", None, "Export: length of the clips; default that of the training clips."
)
FALSE_ALARM_EVERY = flags.DEFINE_float(
    "false_alarm_every",
    1000.0,
    "Watch: a machine that stays normal raises an alarm after this many clips on average, or more.",
    lower_bound=2.0,
)
ON_ALARM = flags.DEFINE_string(
    "on_alarm", None, "Watch: command that an alarm starts, with a JSON line on standard input."
)
flags.DEFINE_alias("on-alarm", "on_alarm")
LOOK_EVERY = flags.DEFINE_float(
    "look_every", 2.0, "Watch: seconds between two looks at the folder.", lower_bound=0.0
)


def workdir() -> Path:
    """Returns the folder of the run, named by the flag or by the config's name."""
    if WORKDIR.value:
        return Path(WORKDIR.value)
    if CONFIG.value is None:
        raise UserError("name a --config, such as --config=configs/slider.py, or a --workdir")
    return Path("runs", Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem)


def main() -> int:
    """Runs one mode and returns the exit status."""
    config = None if CONFIG.value is None else parse(CONFIG.value)
    if MODE.value == "score":
        if ENGINE.value == "ray":
            from flowasd.serving.fleet import score_fleet as score
        else:
            from flowasd.serving.score_files import score_files as score
        decisions = ALPHA.value, FDR.value
        return score(workdir(), INPUT.value, MACHINE_ID.value, OUTPUT.value, config, *decisions)
    if MODE.value == "explain":
        from flowasd.report.explained import explain_files

        return explain_files(workdir(), INPUT.value, MACHINE_ID.value, OUTPUT.value, config)
    if MODE.value == "enrol":
        from flowasd.serving.enrol_files import enrol_files

        print(enrol_files(workdir(), INPUT.value, MACHINE_ID.value, OUTPUT.value, config))
        return 0
    if MODE.value == "calibrate":
        from flowasd.serving.calibrate_files import calibrate_files

        print(calibrate_files(workdir(), INPUT.value, MACHINE_ID.value, OUTPUT.value, config))
        return 0
    if MODE.value == "export":
        from flowasd.serving.export import export_run

        print(export_run(workdir(), OUTPUT.value, SECONDS.value, ALPHA.value, config))
        return 0
    if MODE.value == "watch":
        from flowasd.serving.watch import watch

        alarms = ALPHA.value, FALSE_ALARM_EVERY.value, ON_ALARM.value, LOOK_EVERY.value
        return watch(workdir(), INPUT.value, MACHINE_ID.value, OUTPUT.value, config, *alarms)
    folder = Path(OUTPUT.value or workdir())
    from flowasd.evaluation import assess, calibrate, evaluate, results
    from flowasd.report.report import write_report
    from flowasd.training.train import train

    if MODE.value == "train":
        if config is None:
            raise UserError("training needs a config, such as --config=configs/slider.py")
        train(config, workdir())
        if not parallel.is_first():
            return 0
        calibrate.calibrate_run(workdir())
    if MODE.value in ("train", "assess"):
        print(assess.assess_to_csv(workdir(), folder, config))
    if MODE.value == "assess":
        return 0
    evaluation = evaluate.evaluate(workdir(), config, folder, ALPHA.value)
    if MODE.value != "report":
        results.write_results(folder, evaluation)
    write_report(folder / "report.html", evaluation)
    print(evaluate.describe(evaluation))
    print(f"Report: {folder / 'report.html'}")
    return 0


def run() -> None:
    """Runs `main` on the command's flags and exits."""
    run_command(main, "flowasd")


if __name__ == "__main__":
    run()
