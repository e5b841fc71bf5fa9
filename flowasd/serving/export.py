"""`--mode=export`: the detector as files that score without flowasd.

`detector.jax` is a zip archive of a program of `jax.export` and of metadata, for CPUs, CUDA GPUs
and TPUs; `score.py` runs it. `detector.onnx` has the same program and the same metadata for
onnxruntime; `score_onnx.py` runs it.

The map of the explanation is there if it is asked for. onnxruntime computes all outputs of a model,
also those that nobody reads, and the gradients of the map double the model.
"""

import io
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.data.audio import read_audio
from flowasd.data.source import open_source
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.files import write_bytes
from flowasd.serving.program import Program, as_json, scoring_program

PLATFORMS = ("cpu", "cuda", "tpu")
READERS = {"score.py": "detector.jax", "score_onnx.py": "detector.onnx"}
SHARED = "files.py"  # what both readers import


def export_run(
    workdir: Path,
    output: str | None,
    seconds: float | None = None,
    alpha: float | None = None,
    config: RunConfig | None = None,
    with_map: bool = False,
) -> str:
    """Writes both artefacts of a run, each with the file that scores by it.

    Args:
        workdir: Folder of the run.
        output: Folder to write to, which may hold an earlier export; without it, `export` in the
            run's.
        seconds: Length of the clips; without it, that of the run's first training clip.
        alpha: Rate of false alarms that decisions allow by default; without it, that of the
            settings.
        config: Settings of the scoring; without it, those of the run.
        with_map: Whether the artefacts also make the map of the explanation.

    Returns:
        The text to print.

    Raises:
        UserError: If the folder has other files, the run has not ended, a package is missing, the
            length is not known or allows no clip, the model has something that cannot be exported,
            or there is to be a map and the run has no reference.npz.
    """
    folder = Path(output or workdir / "export")
    _check_folder(folder)
    detector = Detector.load(workdir, config)
    rate = detector.frontend.sample_rate
    n_samples = _trained_length(detector) if seconds is None else round(seconds * rate)
    if n_samples < 1:
        raise UserError(f"--seconds={seconds}: a clip must have one sample at least")
    program = scoring_program(detector, n_samples, alpha, with_map=with_map)
    making = tqdm(ARTEFACTS.items(), "export", unit="file", disable=None)
    artefacts = {name: make(program) for name, make in making}
    folder.mkdir(parents=True, exist_ok=True)
    templates = resources.files("flowasd.serving") / "templates"
    lines = [f"Clips of {n_samples / rate:g} s at {rate} Hz, rule {program.metadata['rule']}:"]
    for script in (SHARED, *READERS):
        write_bytes(folder / script, (templates / script).read_bytes())
    for reader, name in READERS.items():
        write_bytes(folder / name, artefacts[name])
        size = len(artefacts[name]) / 1e6
        lines.append(f"{folder / name} ({size:.2f} MB) is run by {folder / reader}")
    return "\n".join(lines)


def as_jax(program: Program) -> bytes:
    """Returns a zip archive of `program.bin`, by `jax.export`, and of `metadata.json`.

    Raises:
        UserError: If flatbuffers is not installed.
    """
    try:
        exported = export.export(jax.jit(program.call), platforms=PLATFORMS)(*_inputs(program))
        content = exported.serialize()
    except ImportError as error:
        raise UserError(f"jax.export: {error}; install the extra, 'flowasd[export]'") from error
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("program.bin", bytes(content))
        archive.writestr("metadata.json", as_json(program.metadata))
    return file.getvalue()


def as_onnx(program: Program) -> bytes:
    """Returns an ONNX model, whose metadata are the property `flowasd`.

    Raises:
        UserError: If onnx is not installed, or an operation of the model has no counterpart.
    """
    from flowasd.serving.to_onnx import convert

    names = ("samples", "machine", "alpha")
    inputs: dict[str, jax.ShapeDtypeStruct] = dict(zip(names, _inputs(program), strict=True))
    defaults = {"alpha": np.asarray(program.metadata["alpha"], np.float32)}
    return convert(program.call, inputs, defaults, {"flowasd": as_json(program.metadata)})


ARTEFACTS = {"detector.jax": as_jax, "detector.onnx": as_onnx}


def _check_folder(folder: Path) -> None:
    """Raises a `UserError` if a folder holds anything that is not of an export."""
    files = folder.iterdir() if folder.exists() else []
    if others := sorted({file.name for file in files} - {SHARED, *READERS, *READERS.values()}):
        raise UserError(f"{folder} is not empty ({others[0]}); name another folder with --output")


def _inputs(program: Program) -> tuple[jax.ShapeDtypeStruct, ...]:
    """The shapes of samples, machine index and alpha; the number of clips is a symbol."""
    (batch,) = export.symbolic_shape("batch")
    shapes = ((batch, program.metadata["n_samples"]), (batch,), ())
    types = (jnp.float32, jnp.int32, jnp.float32)
    make: Callable[..., jax.ShapeDtypeStruct] = jax.ShapeDtypeStruct
    return tuple(make(shape, dtype) for shape, dtype in zip(shapes, types, strict=True))


def _trained_length(detector: Detector) -> int:
    config, rate = detector.config, detector.frontend.sample_rate
    try:
        clip = open_source(config.data, config.seed).splits["train"][0]
        return len(read_audio(clip.path, rate, config.data.max_clip_seconds, config.data.channel))
    except UserError as error:
        raise UserError(f"{error}; or name the length of the clips with --seconds") from error
