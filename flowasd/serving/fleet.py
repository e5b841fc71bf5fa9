"""`--mode=score --engine=ray`: scores any number of files by a pool of Ray actors.

The sorted paths are cut into blocks, and every block becomes one Parquet file in the output
folder, `scores/NAME.parquet`. If files of a block could not be scored, `errors/NAME.parquet` lists
them. NAME is a hash of the block's paths and of the model, and a shard holds a digest of what the
files contained. A command that was stopped, or whose files have changed, can be repeated: it scores
the blocks that are missing, that have changed, or in which a file could not be scored.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import jax
from tqdm import tqdm

from flowasd.compiling import keep_compiled
from flowasd.config import RunConfig
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.results import FILE_COLUMNS, file_row
from flowasd.file_results import Result
from flowasd.files import write_bytes
from flowasd.run.calibration_file import NAME as CALIBRATION
from flowasd.run.enrolment_file import FOLDER as ENROLLED

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray.data
    from ray.exceptions import RayError

    from flowasd.serving.remote import content_of, fetch, find_recordings
except ImportError as error:
    raise UserError(f"--engine=ray: {error}; install the extra, 'flowasd[ray]'") from error

Arguments = tuple[Path, str | None, RunConfig | None, float]  # of a `Scorer`, but for the threads

FILES_PER_BLOCK = 256
FETCHES = 16  # remote files that an actor fetches at once
SCORES = pa.schema(
    [
        ("path", pa.string()),
        ("machine_id", pa.string()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("decision", pa.int8()),
    ]
)
ERRORS = pa.schema([("path", pa.string()), ("error", pa.string())])


def score_fleet(
    workdir: Path,
    inputs: Sequence[str],
    machine_id: str | None,
    output: str | None,
    config: RunConfig | None = None,
    alpha: float | None = None,
    fdr: float | None = None,
    actors: int | None = None,
    files_per_block: int = FILES_PER_BLOCK,
) -> int:
    """Scores files into Parquet shards, on the Ray cluster of RAY_ADDRESS or on this machine.

    Args:
        workdir: Folder of a run; on a cluster, every node must see it.
        inputs: Files, folders or globs on this machine, or URLs that fsspec knows.
        machine_id: The ID of all files; if `None`, the name of each file tells its ID.
        output: Folder of the shards, on this machine.
        config: Settings of the scoring; if `None`, those of the run.
        alpha: Rate of false alarms that a decision allows; if `None`, that of the settings.
        fdr: Not for a fleet, whose shards are written before all p-values are known.
        actors: Number of actors; if `None`, one for each GPU, or for each CPU core without GPUs.
        files_per_block: Number of files of a shard.

    Returns:
        The exit status: 1 if a file could not be scored, else 0.

    Raises:
        UserError: If there is no checkpoint or no file; if `fdr` is given; or if `output` is
            `None`, or holds the scores of other files or of another model.
    """
    if not inputs:
        raise UserError("nothing to score; name files, folders, globs or URLs with --input")
    if output is None:
        raise UserError("--engine=ray writes a folder of shards; name it with --output")
    if fdr is not None:
        raise UserError("--fdr needs all p-values at once; use --alpha with --engine=ray")
    folder, paths = Path(output), find_recordings(inputs)
    with _ray():  # started before JAX, which warns of processes that start later
        jax.config.update("jax_platforms", "cpu")  # the actors use the accelerators
        detector = Detector.load(workdir, config)
        detector.results([], machine_id)  # raises a `UserError` if the ID is unknown
        if detector.kind == "SIMULATED":
            print("flowasd: this model was trained on SIMULATED recordings", file=sys.stderr)
        kept = [workdir / CALIBRATION, *sorted((workdir / ENROLLED).glob("*.npz"))]
        model = [hashlib.sha256(path.read_bytes()).hexdigest() for path in kept]
        if short := detector.shortage(alpha):
            print(f"flowasd: {short}", file=sys.stderr)
        alpha = detector.config.score.alpha if alpha is None else alpha
        settings = [model, asdict(detector.config.score), machine_id, alpha]
        blocks = cut_blocks(paths, settings, files_per_block)
        arguments = (workdir.absolute(), machine_id, config, alpha)
        try:
            reused = score_blocks(folder, blocks, arguments, actors)
        except RayError as error:  # such as a device that an actor does not find
            why = str(error).strip().rpartition("\n")[2].rpartition("UserError: ")[2]
            raise UserError(f"--engine=ray: {why}") from error
    if reused:
        print(f"flowasd: {reused} of {len(paths)} files had been scored before", file=sys.stderr)
    shards = [folder / "errors" / f"{name}.parquet" for name in blocks]
    failed = sum(pq.read_metadata(shard).num_rows for shard in shards if shard.exists())
    if failed:
        where = f"{failed} of {len(paths)} files were not scored: {folder / 'errors'}"
        print(f"flowasd: {where}", file=sys.stderr)
    return 1 if failed else 0


def _ray() -> contextlib.AbstractContextManager:
    """Starts Ray or joins the cluster of RAY_ADDRESS; only errors are printed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)


def cut_blocks(paths: Sequence[str], settings: list[Any], size: int) -> dict[str, list[str]]:
    """Cuts paths into blocks of one size; the name of each is a hash of its paths and settings."""
    blocks = [list(paths[first : first + size]) for first in range(0, len(paths), size)]
    keys = [json.dumps([settings, block]).encode() for block in blocks]
    names = [hashlib.sha256(key).hexdigest()[:32] for key in keys]
    return dict(zip(names, blocks, strict=True))


def score_blocks(
    folder: Path,
    blocks: dict[str, list[str]],
    arguments: Arguments,
    actors: int | None,
) -> int:
    """Scores the blocks whose shards are missing, outdated or have errors, and writes these shards.

    Returns:
        The number of files that did not have to be scored.
    """
    scores, errors = folder / "scores", folder / "errors"
    scores.mkdir(parents=True, exist_ok=True)
    errors.mkdir(exist_ok=True)
    done = {shard.stem for shard in scores.glob("*.parquet")}
    if done - blocks.keys():
        raise UserError(
            f"{folder} holds the scores of other files or of another model; name another --output"
        )
    contents = {name: content_of(paths) for name, paths in blocks.items()}
    missing = [
        {"name": name, "paths": blocks[name], "content": content}
        for name, content in contents.items()
        if name not in done
        or (errors / f"{name}.parquet").exists()
        or _content(scores / f"{name}.parquet") != content
    ]
    reused = sum(map(len, blocks.values())) - sum(len(block["paths"]) for block in missing)
    if not missing:
        return reused
    progress = {"total": len(blocks), "initial": len(blocks) - len(missing), "unit": "shard"}
    with tqdm(desc="score", disable=None, **progress) as bar:
        for row in _scored(missing, arguments, actors).iter_rows():
            shard = f"{row['name']}.parquet"
            if row["errors"]:
                write_bytes(errors / shard, row["errors"])
            else:  # the files that failed before may have been repaired
                (errors / shard).unlink(missing_ok=True)
            write_bytes(scores / shard, row["scores"])
            for warning in row["warnings"].splitlines():
                print(f"flowasd: warning: {warning}", file=sys.stderr)
            bar.update()
    return reused


def _content(shard: Path) -> str:
    """The digest of what the files of a shard contained."""
    return (pq.read_schema(shard).metadata or {}).get(b"content", b"").decode()


def _scored(
    blocks: list[dict[str, Any]],
    arguments: Arguments,
    actors: int | None,
) -> ray.data.Dataset:
    """Returns blocks and shards as bytes; Ray replaces an actor that dies and repeats its block."""
    cluster = ray.cluster_resources()
    cpus, gpus = cluster["CPU"], cluster.get("GPU", 0)
    actors = min(actors or int(gpus or cpus), len(blocks))
    share = cpus_per_actor(ray.nodes(), actors)
    return ray.data.from_items(blocks, override_num_blocks=len(blocks)).map(
        cast(Any, Scorer),  # the annotation of `map` knows no classes
        fn_constructor_args=[*arguments, max(1, int(share))],
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=share,
        num_gpus=1 if gpus else 0,
    )


def cpus_per_actor(nodes: Sequence[Mapping[str, Any]], actors: int) -> int | float:
    """Returns the most CPUs that each actor can have if all actors are to run at the same time.

    This is a whole number, or a fraction if there are more actors than CPUs.

    Args:
        nodes: What `ray.nodes()` returns.
        actors: Number of actors; if there are GPUs, each actor takes one.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cpus, gpus = ([int(node.get(kind, 0)) for node in alive] for kind in ("CPU", "GPU"))
    room = gpus if any(gpus) else cpus
    for share in range(max(cpus), 0, -1):
        placed = [min(cpu // share, most) for cpu, most in zip(cpus, room, strict=True)]
        if sum(placed) >= actors:
            return share
    return min(1, sum(cpus) / actors)


class Scorer:
    """A Ray actor that has a detector of its own.

    Args:
        workdir: Folder of a run.
        machine_id: The ID of all files; if `None`, the name of each file tells its ID.
        config: Settings of the scoring; if `None`, those of the run.
        alpha: Rate of false alarms that a decision allows.
        threads: Number of threads that XLA may use.
    """

    def __init__(
        self,
        workdir: Path,
        machine_id: str | None,
        config: RunConfig | None,
        alpha: float,
        threads: int,
    ):
        os.environ["NPROC"] = str(threads)  # XLA reads this when it starts
        keep_compiled()
        self._detector = Detector.load(workdir, config)
        self._machine_id = machine_id
        self._alpha = alpha

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        """Scores the files of a block.

        Args:
            block: Its `name`, the `paths` of its files, and a digest of their `content`.

        Returns:
            Its `name`, and the bytes of its Parquet files `scores` and `errors`. If all files
            were scored, `errors` is empty. `warnings` has a line for each doubtful score.
        """
        scored, failed, warned = [], [], []
        paths = list(block["paths"])
        with tempfile.TemporaryDirectory() as scratch:
            folders = [Path(scratch, str(i)) for i in range(len(paths))]
            with ThreadPoolExecutor(FETCHES) as pool:
                here = list(pool.map(fetch, paths, folders))
            there = [path for path in here if isinstance(path, Path)]
            results = self._detector.results(there, self._machine_id)
            for path, local in zip(paths, here, strict=True):
                failure = None if isinstance(local, Path) else Result(Path(path), error=local)
                result = failure or next(results)
                if result.error:
                    error = str(result.error).replace(str(result.path), path)
                    failed.append({"path": path, "error": error})
                else:
                    if result.warning:
                        warned.append(result.warning.replace(str(result.path), path))
                    row = dict(zip(FILE_COLUMNS, file_row(result, self._alpha), strict=True))
                    scored.append(row | {"path": path})
        return {
            "name": block["name"],
            "scores": _parquet(scored, SCORES.with_metadata({"content": block["content"]})),
            "errors": _parquet(failed, ERRORS) if failed else b"",
            "warnings": "\n".join(warned),
        }


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), content)
    return content.getvalue()
