"""What training writes of its numbers, for readers of JSON and for TensorBoard."""

import struct
from contextlib import closing
from typing import Any

from tensorboardX.proto import event_pb2

from flowasd.run.metric_log import MetricLog, read_metrics

EVENT: Any = vars(event_pb2)["Event"]  # made at run time


def events(path):
    """The events of a file of TensorBoard: length, its checksum, content, its checksum."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        found.append(EVENT.FromString(content[at + 12 : at + 12 + length]))
        at += 12 + length + 4
    return found


def test_both_files_have_every_number(tmp_path):
    with closing(MetricLog(tmp_path, None)) as log:
        log.write({"step": 5, "train_nll": 0.5})
        log.write({"step": 10, "train_nll": 0.25, "validation_nll": 1.5})
    rows = read_metrics(tmp_path)
    assert [(row["step"], row["train_nll"]) for row in rows] == [(5, 0.5), (10, 0.25)]
    first, *others = events(next(tmp_path.glob("events.*")))
    assert first.file_version == "brain.Event:2"
    told = [(e.step, v.tag, v.simple_value) for e in others for v in e.summary.value]
    assert [one for one in told if one[1] != "seconds"] == [
        (5, "train_nll", 0.5),
        (10, "train_nll", 0.25),
        (10, "validation_nll", 1.5),
    ]


def test_tensorboard_hides_what_comes_after_the_step_that_goes_on(tmp_path):
    MetricLog(tmp_path, 10).close()
    _, start = events(next(tmp_path.glob("events.*")))
    assert (start.step, start.session_log.status) == (11, start.session_log.START)
