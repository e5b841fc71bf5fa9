"""The command line: flags, modes, and errors on one line.

python -m flowasd.main --config=configs/slider.py --workdir=runs/slider
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from flowasd import parallel
from flowasd.compile_cache import keep_compiled
from flowasd.errors import UserError

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, such as configs/slider.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; default runs/<config name>.")
MODES = ["train", "evaluate", "report", "assess", "score"]
MODE = flags.DEFINE_enum("mode", "train", MODES, "What to do.")
INPUT = flags.DEFINE_multi_string("input", [], "score: file, folder or glob; may be repeated.")
OUTPUT = flags.DEFINE_string("output", None, "score: CSV, or folder with ray; others: folder.")
ENGINE = flags.DEFINE_enum("engine", "local", ["local", "ray"], "score: what it runs on.")
MACHINE_ID = flags.DEFINE_string("machine_id", None, "score: ID of all inputs, such as id_00.")


def workdir() -> Path:
    """The folder of the run, by flag or by the config's name."""
    if WORKDIR.value:
        return Path(WORKDIR.value)
    if CONFIG.value is None:
        raise UserError("name a --config, such as --config=configs/slider.py, or a --workdir")
    return Path("runs", Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem)


def main(argv: Sequence[str]) -> int:
    """Runs one mode and returns the exit status."""
    if len(argv) > 1:
        raise UserError(f"not a flag: {' '.join(argv[1:])}")
    if MODE.value == "score":
        if ENGINE.value == "ray":
            from flowasd.fleet import score_fleet as score
        else:
            from flowasd.score_files import score_to_csv as score
        return score(workdir(), INPUT.value, MACHINE_ID.value, OUTPUT.value, CONFIG.value)
    folder = Path(OUTPUT.value or workdir())
    from flowasd import assess, evaluate, train

    if MODE.value == "train":
        if CONFIG.value is None:
            raise UserError("training needs a config, such as --config=configs/slider.py")
        train.train(CONFIG.value, workdir())
        if not parallel.is_first():
            return 0
    if MODE.value in ("train", "assess"):
        print(assess.assess_to_csv(workdir(), folder, CONFIG.value))
    if MODE.value == "assess":
        return 0
    evaluation = evaluate.evaluate(workdir(), CONFIG.value)
    if MODE.value != "report":
        evaluate.write_results(folder, evaluation)
    evaluate.write_evaluation_report(folder, evaluation, workdir())
    print(evaluate.describe(evaluation))
    print(f"Report: {folder / 'report.html'}")
    return 0


def parse(argv: Sequence[str]) -> Sequence[str]:
    """Parses the flags; a wrong one, or a config that does not load, is a `UserError`."""
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is not None:
            CONFIG.value.seed  # noqa: B018  a config that did not load says so when it is used
        return rest
    except (flags.Error, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error
    except (ImportError, NameError, OSError, SyntaxError) as error:
        raise UserError(f"the config does not load: {' '.join(str(error).split())}") from error


def run() -> None:
    """Runs `main`; what the user can mend ends as one line and status 2."""
    logging.set_verbosity(logging.ERROR)
    keep_compiled()
    try:
        app.run(main, flags_parser=parse)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError) as error:
        print(f"flowasd: {error}", file=sys.stderr)
        parallel.leave(2)
    except KeyboardInterrupt:
        print("flowasd: interrupted; a run goes on from its last checkpoint", file=sys.stderr)
        parallel.leave(130)


if __name__ == "__main__":
    run()
