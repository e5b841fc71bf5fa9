"""What a data set holds and what is wrong with it, before any training.

    python -m flowasd.data.check ROOT [--layout=NAME] [--machine_type=TYPE] [--json]

Every recording of every machine type at ROOT or below it is decoded once; with `--train_on` and
`--test_on`, those that training reads. The exit status is 1 if training with the default settings
would refuse a machine type, and 0 if not.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from tqdm import tqdm

from flowasd.command_line import run_command
from flowasd.data.clips import Clip, Dataset
from flowasd.data.dataset import join
from flowasd.data.findings import Finding, Measured, find_all
from flowasd.data.layouts import AUTO, LAYOUTS
from flowasd.data.layouts.layout import some
from flowasd.data.measurement import Measurement, measure_all
from flowasd.data.parts import read_parts
from flowasd.data.source import DataConfig
from flowasd.errors import UserError

SHOWN = 5  # findings of a kind; --json has all
COUNTS = ("train", "normal", "anomaly", "unlabelled")  # the last three are test clips
COLUMNS = ("ID", "domain", *COUNTS, "seconds", "Hz", "channels", "encoding")


class Row(NamedTuple):
    """The clips of an ID or section and of a domain.

    Attributes:
        machine_id: The ID or section.
        domain: `"source"` or `"target"`; `None` where nothing tells it.
        counts: How many are to train on, and normal, anomalous and unlabelled ones to test on.
        seconds: The shortest and the longest; none if no clip can be decoded.
        rates: All rates in Hz.
        channels: All numbers of channels.
        encodings: All formats with their types of samples.
    """

    machine_id: str
    domain: str | None
    counts: dict[str, int]
    seconds: list[float]
    rates: list[int]
    channels: list[int]
    encodings: list[str]

    @property
    def cells(self) -> list[str]:
        """Its cells in the table, under `COLUMNS`."""
        span = "–".join(f"{own:.4g}" for own in dict.fromkeys(self.seconds))
        texts = [span, *(some(own) for own in (self.rates, self.channels, self.encodings))]
        counts = (str(self.counts[name] or "–") for name in COUNTS)
        return [self.machine_id, self.domain or "–", *counts, *(text or "–" for text in texts)]


class Section(NamedTuple):
    """A machine type.

    Attributes:
        machine_type: Its name.
        folders: Its folder; several if training joins them.
        layout: Name of the layout.
        rows: What it holds.
        hours: How long all recordings last together.
        findings: What is wrong with it.
    """

    machine_type: str
    folders: list[Path]
    layout: str
    rows: list[Row]
    hours: float
    findings: list[Finding]

    @property
    def refused(self) -> bool:
        """Whether training would refuse it."""
        return any(finding.refused for finding in self.findings)


def check_root(data: DataConfig) -> Iterator[Section]:
    """Checks all machine types at a root or below it, whatever is wrong with one of them.

    Args:
        data: The root, which may also be a file that lists recordings, and how it is read. If it
            names no machine type, all are checked.

    Raises:
        UserError: If there is no such folder or machine type.
    """
    for name, parts in read_parts(data):
        place = parts[0].folder if len(parts) == 1 else Path(data.root)
        dataset = join([part.used for part in parts])
        paths = [clip.path for clip in (*dataset.train, *dataset.test)]
        measuring = measure_all(paths, data.channel)
        measured = dict(tqdm(measuring, name, len(paths), unit="clip", disable=None))
        seconds = sum(m.seconds for m in measured.values() if isinstance(m, Measurement))
        yield Section(
            name,
            [part.folder for part in parts],
            " and ".join(dict.fromkeys(part.layout for part in parts)),
            [*_rows(dataset, measured)],
            seconds / 3600,
            find_all(parts, place, measured),
        )


def _rows(dataset: Dataset, measured: Measured) -> Iterator[Row]:
    clips: dict[tuple[str, str], list[tuple[Clip, str]]] = defaultdict(list)
    for clip in dataset.train:
        clips[clip.group, clip.domain or ""].append((clip, "train"))
    for clip in dataset.test:
        label = {None: "unlabelled", 0: "normal", 1: "anomaly"}[clip.label]
        clips[clip.group, clip.domain or ""].append((clip, label))
    for (machine_id, domain), own in sorted(clips.items()):
        count = Counter(name for _, name in own)
        known = [m for clip, _ in own if isinstance(m := measured[clip.path], Measurement)]
        seconds = [m.seconds for m in known]
        yield Row(
            machine_id,
            domain or None,
            {name: count[name] for name in COUNTS},
            [min(seconds), max(seconds)] if seconds else [],
            sorted({m.rate for m in known}),
            sorted({m.channels for m in known}),
            sorted({m.encoding for m in known}),
        )


def as_text(section: Section) -> str:
    """Returns the table of a machine type and its findings."""
    count = sum(sum(row.counts.values()) for row in section.rows)
    place = " and ".join(map(str, section.folders))
    lines = [f"{place}: layout {section.layout}, {count} clips, {section.hours:.2f} hours"]
    table = [COLUMNS, *(row.cells for row in section.rows)] if section.rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append("  " + "  ".join(cells).rstrip())
    for refused, title in ((True, "training refuses it"), (False, "worth a look")):
        own = [finding for finding in section.findings if finding.refused == refused]
        lines += [f"  {title}:"] if own else []
        for kind in dict.fromkeys(finding.kind for finding in own):
            texts = [finding.text for finding in own if finding.kind == kind]
            lines += [f"    {kind}: {text}" for text in texts[:SHOWN]]
            if more := len(texts) - SHOWN:
                lines += [f"    {kind}: {more} more, which --json lists"] if more > 0 else []
    return "\n".join(lines if section.findings else [*lines, "  no fault found"])


def as_json(sections: Sequence[Section]) -> str:
    """Returns the same of all machine types, with every finding."""
    types = [
        section._asdict()
        | {
            "refused": section.refused,
            "rows": [row._asdict() for row in section.rows],
            "findings": [finding._asdict() for finding in section.findings],
        }
        for section in sections
    ]
    return json.dumps({"machine_types": types}, indent=1, default=str)


def _take_root(words: Sequence[str]) -> None:
    if len(words) != 1:
        raise UserError("name one folder of recordings: python -m flowasd.data.check ROOT")
    flags.FLAGS.root = words[0]


def main() -> None:
    """The command line."""
    flags.DEFINE_string("root", None, "Folder of the recordings; ROOT is short for it.")
    given = {
        "layout": flags.DEFINE_enum(
            "layout", AUTO, [AUTO, *LAYOUTS], "How the recordings are laid out, as data.layout."
        ),
        "machine_type": flags.DEFINE_string("machine_type", "", "The only machine type to check."),
        "train_on": flags.DEFINE_string("train_on", "", "Folders to join, as data.train_on."),
        "test_on": flags.DEFINE_string("test_on", "", "Folder to test on, as data.test_on."),
        "channel": flags.DEFINE_integer("channel", 0, "The channel that is read, as data.channel."),
    }
    for name in given:
        flags.DEFINE_alias(f"config.data.{name}", name)  # errors name the flags of training
    as_object = flags.DEFINE_bool("json", False, "Print JSON instead of a table.")

    def run() -> int:
        values = {name: flag.value for name, flag in given.items()}
        sections = []
        for section in check_root(DataConfig(root=flags.FLAGS.root, **values)):
            sections.append(section)
            if not as_object.value:
                _print(as_text(section))
        if as_object.value:
            _print(as_json(sections))
        return int(any(section.refused for section in sections))

    run_command(run, "flowasd", _take_root, compiles=False)


def _print(text: str) -> None:
    print(text.encode(errors="replace").decode())  # names of files may be no Unicode


if __name__ == "__main__":
    main()
