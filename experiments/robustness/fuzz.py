# pyright: reportMissingModuleSource=false, reportAttributeAccessIssue=false
"""Do file names and audio files that coverage guides to new code end in a result or in one line?

python -m experiments.robustness.fuzz [--seconds=3600] [--seed=0]

It needs `pip install atheris`. atheris changes good and damaged files, and paths, by what code of
flowasd they reach. A path is read by every layout, and a file by `read_audio`. The command fails if
one ends in another exception, in a message of several lines, after more than five seconds, or with
more than 2 GiB; the input is then kept in the workdir.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np
from absl import flags

with atheris.instrument_imports(include=["flowasd.data"]):
    from experiments.robustness.made import DAMAGES, FORMATS, write
    from experiments.robustness.reading import end_of
    from experiments.runs import command
    from flowasd.data.layouts import LAYOUTS
    from flowasd.errors import UserError

SECONDS = flags.DEFINE_integer("seconds", 3600, "How long it goes on.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the changes.", lower_bound=0)
WORKDIR = flags.DEFINE_string("workdir", "runs/fuzz", "Folder of the inputs that were found.")

PATHS = (
    "slider/train/normal_id_00_00000000.wav",
    "slider/id_01_00000012.wav",
    "fan/source_test/section_00_source_test_normal_0000.wav",
    "fan/train/section_02_target_train_anomaly_0001_vel_6_mic_2_mic_1.wav",
    "ToyCar/supplemental/section_00_supplemental_machine_0000_noAttribute.wav",
    "6_dB_slider/slider/id_02/abnormal/00000000.wav",
    "ToyCar/case1/AnomalousSound_IND/ab01/1_ch1_case1_ab01.wav",
)


def try_path(content: bytes) -> None:
    """Reads the bytes as a path by every layout."""
    try:
        path = Path(os.fsdecode(content))
    except ValueError:  # a path that no file can have
        return
    for name, layout in LAYOUTS.items():
        try:
            layout.parse_clip(path)
        except UserError as error:
            if "\n" in str(error).replace(str(path), "").replace(path.name, ""):
                raise AssertionError(f"{name}: several lines: {error!r}") from error


def try_file(content: bytes, path: Path) -> None:
    """Reads the bytes as an audio file, which is written to the path with a suffix."""
    path = path.with_suffix(".flac" if content.startswith(b"fLaC") else ".wav")
    path.write_bytes(content)
    end, words = end_of(path)
    if end == "neither":
        raise AssertionError(words)


def seeds(folder: Path, seed: int) -> None:
    """Writes good and damaged files, and paths, to begin with."""
    rng, inputs = np.random.default_rng(seed), [b"p" + path.encode() for path in PATHS]
    for kind in FORMATS:
        for damage in DAMAGES:
            made = write(rng, folder, kind, damage)
            inputs.append(b"f" + made.read_bytes()[:4000])
            made.unlink()
    for content in inputs:
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def main() -> None:
    corpus = Path(WORKDIR.value) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds(corpus, SEED.value)
    path = Path(tempfile.mkdtemp()) / "input"

    def tried(content: bytes) -> None:
        if content[:1] == b"p":
            try_path(content[1:])
        else:
            try_file(content[1:], path)

    limits = ["-timeout=5", "-rss_limit_mb=2048", "-max_len=8000", "-print_final_stats=1"]
    budget = [f"-max_total_time={SECONDS.value}", f"-seed={SEED.value + 1}"]
    kept = f"-artifact_prefix={WORKDIR.value}/"
    atheris.Setup([sys.argv[0], *limits, *budget, kept, str(corpus)], tried)
    atheris.Fuzz()


if __name__ == "__main__":
    command(main)
