"""What the modes of the command line are given: flags, words without a flag, and the help.

`flowasd score runs/slider a.wav` is short for
`flowasd --mode=score --workdir=runs/slider --input=a.wav`.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags
from ml_collections import config_flags

from flowasd.command_line import STATUSES
from flowasd.errors import UserError
from flowasd.scoring.rates import check_rates

if TYPE_CHECKING:  # its import takes seconds, which `--help` need not
    from flowasd.config import RunConfig

WIDTH = 80  # of the help, in characters


@dataclass(frozen=True)
class Arguments:
    """The values of the flags.

    Attributes:
        workdir: Folder of the run, named by the flag or by the config's name.
        config: The config, if one was named.
        input: Files, folders and globs.
        output: File or folder to write to.
        machine_id: The ID of all inputs.
        engine: What scoring runs on.
        alpha: Rate of false alarms that a decision allows.
        fdr: Share of false alarms among all alarms that decisions allow instead.
        seconds: Length of the clips that an exported program scores.
        map: Whether an exported program also makes the map of the explanation.
        false_alarm_every: Clips after which a normal machine raises an alarm, on average at least.
        on_alarm: Command that an alarm starts.
        look_every: Seconds between two looks at a folder.
        labels: The organisers' list of labels of an evaluation set.
    """

    workdir: Path
    config: "RunConfig | None"
    input: Sequence[str]
    output: str | None
    machine_id: str | None
    engine: str
    alpha: float | None
    fdr: float | None
    seconds: float | None
    map: bool
    false_alarm_every: float
    on_alarm: str | None
    look_every: float
    labels: Path | None

    @property
    def folder(self) -> Path:
        """Where results go: `output`, or the workdir."""
        return Path(self.output) if self.output else self.workdir


class Mode(NamedTuple):
    """A mode of the command line.

    Attributes:
        run: Runs it and returns the exit status, `None` for 0. Its docstring is the mode's help,
            and the first paragraph of that is its line in the list of modes.
        takes: Names of its flags, apart from `--config` and `--workdir`.
        inputs: What its inputs are, where it takes any.
    """

    run: Callable[[Arguments], int | None]
    takes: str
    inputs: str = "FILES"

    @property
    def names(self) -> list[str]:
        """Names of all of its flags."""
        return ["workdir", *self.takes.split(), "config"]

    @property
    def text(self) -> str:
        """Its help without the flags."""
        return cleandoc(self.run.__doc__ or "")


def define_flags(modes: Mapping[str, Mode]) -> None:
    """Defines the flags of all modes."""
    config_flags.DEFINE_config_file(
        "config", None, "Config file; --config.KEY=VALUE changes a key of docs/configuration.md."
    )
    flags.DEFINE_enum("mode", "train", list(modes), "What to do; the first word says the same.")
    flags.DEFINE_string("workdir", None, "Folder of the run; by default runs/<config name>.")
    flags.DEFINE_multi_string("input", [], "A file, folder or glob; may be repeated.")
    flags.DEFINE_string(
        "output",
        None,
        "Score: the file to write, .csv or .jsonl; - (CSV, the default) and -.jsonl are standard "
        "output; with --engine=ray a folder. Watch: the .csv to append to. Other modes: the folder "
        "to write to instead of the workdir.",
    )
    flags.DEFINE_string("machine_id", None, "The machine ID of all inputs, such as id_00.")
    flags.DEFINE_enum("engine", "local", ["local", "ray"], "What scoring runs on.")
    flags.DEFINE_float("alpha", None, "Rate of false alarms that a decision allows, such as 0.01.")
    flags.DEFINE_float(
        "fdr",
        None,
        "Share of false alarms among the alarms of all inputs, instead of --alpha.",
    )
    flags.DEFINE_float("seconds", None, "Length of the clips; by default of the training clips.")
    flags.DEFINE_bool("map", False, "Exports the time-frequency map that explain shows, too.")
    flags.DEFINE_float(
        "false_alarm_every",
        1000.0,
        "A machine that stays normal raises an alarm after so many clips on average, or more.",
        lower_bound=2.0,
    )
    flags.DEFINE_string(
        "on_alarm", None, "Command that an alarm starts, with a JSON line on standard input."
    )
    flags.DEFINE_alias("on-alarm", "on_alarm")
    flags.DEFINE_string(
        "labels",
        None,
        "The organisers' list of labels of an evaluation set, which has none itself.",
    )
    flags.DEFINE_float(
        "look_every", 2.0, "Seconds between two looks at the folder.", lower_bound=0.0
    )


def take_words(words: Sequence[str], modes: Mapping[str, Mode]) -> None:
    """Puts words into flags: the mode, the workdir unless a flag names it, then the inputs.

    Raises:
        UserError: If the first word is no mode, the mode takes no inputs, or a flag is given that
            the mode does not take.
    """
    given = flags.FLAGS
    if words:
        name, *words = words
        if name not in modes:
            raise UserError(f"not a mode: {name}; flowasd --help lists them")
        if given["mode"].present and given["mode"].value != name:
            raise UserError(f"{name} and --mode={given['mode'].value} are two modes; name one")
        given["mode"].value = name
    if words and not given["workdir"].present:
        given["workdir"].value, *words = words
    name = str(given["mode"].value)
    takes = modes[name].names
    if words and "input" not in takes:
        raise UserError(f"{name} takes no files, but there are: {' '.join(words)}")
    given["input"].value = [*(given["input"].value or ()), *words]
    for flag in Arguments.__annotations__:
        if given[flag].present and flag not in takes:
            raise UserError(f"{name} takes no --{flag}; flowasd {name} --help lists its flags")


def arguments() -> Arguments:
    """Returns the values of the flags.

    Raises:
        UserError: If neither a workdir nor a config is named, the config is wrong, a rate is
            none, or there are two of them.
    """
    values: dict[str, Any] = {n: flags.FLAGS[n].value for n in Arguments.__annotations__}
    if values["config"] is not None:
        from flowasd.config import parse

        values["config"] = parse(values["config"])
        name = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
        values["workdir"] = values["workdir"] or Path("runs", name)
    if not values["workdir"]:
        raise UserError("name a --config, such as --config=configs/slider.py, or a --workdir")
    check_rates(values["alpha"], values["fdr"], "--")
    if values["output"] == "-" and str(flags.FLAGS["mode"].value) != "score":
        raise UserError("--output=- is standard output, which only score writes to; name a folder")
    values["workdir"] = Path(values["workdir"])
    values["labels"] = Path(values["labels"]) if values["labels"] else None
    return Arguments(**values)


def help_page(argv: Sequence[str], modes: Mapping[str, Mode]) -> str:
    """Returns the help: of a mode if the arguments name one, else of all of them."""
    words = [argument.removeprefix("--mode=") for argument in argv]
    if name := next((word for word in words if word in modes), None):
        listed = "\n".join(_flag_help(flag) for flag in modes[name].names)
        files = f" {modes[name].inputs}..." if "input" in modes[name].names else ""
        usage = f"flowasd {name} [WORKDIR]{files} [--FLAG=VALUE ...]"
        return f"{usage}\n\n{modes[name].text}\n\n{listed}"
    lines = "\n".join(f"  {m:10}{mode.text.splitlines()[0]}" for m, mode in modes.items())
    return f"""flowasd MODE [WORKDIR] [FILES...] [--FLAG=VALUE ...]

{lines}

  flowasd train --config=configs/slider.py --config.data.root=DIR --workdir=runs/a
  flowasd score --help

{STATUSES}"""


def _flag_help(name: str) -> str:
    indent = " " * 15
    text = flags.FLAGS[name].help.split(";\n")[0]  # absl adds that an option may be repeated
    return textwrap.fill(f"  --{name:10} {text}", WIDTH, subsequent_indent=indent)
