"""The watch as a command in a process of its own."""

import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import REPO
from tests.run.recordings import copy_run
from tests.serving.recorder import name, names, rows_of, write


@pytest.mark.slow
def test_sigterm_ends_it_with_status_0(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    workdir = copy_run(run, tmp_path / "run")
    write(folder / name(0))
    line = [sys.executable, "-m", "flowasd.main", "--mode=watch", f"--workdir={workdir}"]
    line += [f"--input={folder}", "--look_every=0.1", "--on-alarm=cat", "--false_alarm_every=500"]
    with subprocess.Popen(line, cwd=REPO, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 120
        written = workdir / "watch.csv"
        while process.poll() is None and time.monotonic() < end:
            if written.exists() and len(rows_of(written)) == 1:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert names(rows_of(written)) == [name(0)]
    assert "Traceback" not in err
