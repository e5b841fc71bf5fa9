"""`--mode=explain`: a picture, a page and a JSON record of why a recording has its score."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.data.audio import find_audio
from flowasd.data.machine_ids import full_id
from flowasd.detector import Detector
from flowasd.errors import UntoldMachine, UserError, in_one_line
from flowasd.files import refuse_overwriting, write_bytes, write_text
from flowasd.report.explained_plot import as_png, as_svg
from flowasd.scoring.explanation import Explanation

SUFFIXES = (".png", ".html", ".json")
UNITS = {
    "times": "s",
    "frequencies": "Hz",
    "decibels": "dB above the normal level of the bands",
    "share": "of all that raises the score",
    "explained": "nats per dimension",
    "distance": "root mean square difference in latent space",
}


def explain_files(
    workdir: Path,
    inputs: Sequence[str],
    machine_id: str | None,
    output: str | None,
    config: RunConfig | None = None,
) -> int:
    """Writes NAME.png, NAME.html and NAME.json for every file; errors go to standard error.

    The files of which nothing tells the machine ID share one line, after the last file.

    Args:
        workdir: Folder of a run.
        inputs: Files, folders or globs.
        machine_id: The ID of all files; without it, each file's name tells.
        output: Folder to write to; without it, `explained` in the workdir.
        config: Settings of the scoring; without it, those of the run.

    Returns:
        The exit status: 1 if a file could not be explained.

    Raises:
        UserError: If there is no checkpoint, no reference.npz or no file, two files have one name,
            or the ID is unknown.
    """
    if not inputs:
        raise UserError("nothing to explain; name files, folders or globs with --input")
    detector = Detector.load(workdir, config)
    if machine_id is not None:
        machine_id = full_id(machine_id, detector.known_ids)
    if detector.reference is None:
        raise UserError(f"{workdir} has no reference.npz; repeat its training command")
    paths = find_audio(inputs)
    names = [path.stem for path in paths]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(
            f"{len(twice)} names are there twice, such as {min(twice)}; use two commands"
        )
    folder = Path(output) if output else workdir / "explained"
    refuse_overwriting((folder / (n + s) for n in names for s in SUFFIXES), paths)
    folder.mkdir(parents=True, exist_ok=True)
    if detector.kind == "SIMULATED":
        print("flowasd: this model was trained on SIMULATED recordings", file=sys.stderr)
    failed, untold = 0, []
    # Lines on a terminal show the progress themselves.
    hidden = True if sys.stdout.isatty() else None
    for path in tqdm(paths, "explain", unit="file", disable=hidden):
        try:
            explanation = detector.explain(path, machine_id)
            write_explanation(folder, path, explanation, detector.kind, detector.config.score.alpha)
        except UntoldMachine as error:
            untold.append(error)
            continue
        except (UserError, OSError) as error:  # such as a name that is too long with .html
            print(f"flowasd: {error}", file=sys.stderr)
            failed += 1
            continue
        words = "; ".join(region.words for region in explanation.regions)
        score = f"score {explanation.score:.4g}, p-value {explanation.p_value:.2g}"
        print(f"{path.name}: {score}; {words or 'nothing raises it'}")
    if untold:
        print(f"flowasd: {in_one_line(untold)}", file=sys.stderr)
    if failed := failed + len(untold):
        print(f"flowasd: {failed} of {len(paths)} files were not explained", file=sys.stderr)
    return 1 if failed else 0


def write_explanation(
    folder: Path, path: Path, explanation: Explanation, kind: str, alpha: float
) -> None:
    """Writes the three files of one recording.

    Args:
        folder: Folder to write to.
        path: The recording, whose name the files get.
        explanation: What is said of it.
        kind: Whether the model was trained on `"real"` or `"SIMULATED"` recordings.
        alpha: Rate of false alarms that a decision allows.
    """
    environment = Environment(
        loader=PackageLoader("flowasd.report"), autoescape=True, undefined=StrictUndefined
    )
    picture = Markup(as_svg(explanation, f"why {path.name} has its score"))
    content = {"name": path.name, "e": explanation, "picture": picture, "kind": kind}
    page = environment.get_template("explained.html").render(content)
    write_bytes(folder / f"{path.stem}.png", as_png(explanation, path.name))
    write_text(folder / f"{path.stem}.html", page)
    content = record(path, explanation, kind, alpha)
    write_text(folder / f"{path.stem}.json", json.dumps(content, indent=1))


def record(path: Path, explanation: Explanation, kind: str, alpha: float) -> dict[str, Any]:
    """Returns what the JSON file holds."""
    return {
        "path": str(path),
        "data": kind,
        "machine_id": explanation.machine_id,
        "rule": explanation.rule,
        "score": explanation.score,
        "p_value": explanation.p_value,
        "decision": int(explanation.p_value <= alpha),
        "explained": explanation.explained,
        "normal": explanation.normal,
        "words": [region.words for region in explanation.regions],
        "regions": [region._asdict() for region in explanation.regions],
        "nearest": [clip._asdict() for clip in explanation.nearest],
        "frame_times": explanation.frame_times.tolist(),
        "frame_explained": np.asarray(explanation.curve, float).tolist(),
        "frame_nll": np.asarray(explanation.nll, float).tolist(),
        "frequencies_are_in_hz": explanation.hertz,
        "units": UNITS,
    }
