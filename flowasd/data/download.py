"""The public archives of DCASE 2020 Task 2: fetched from Zenodo, verified, unpacked.

    python -m flowasd.data.download --root=DIR [--part=development] [--machine_type=slider]

An archive is unpacked into DIR/PART/MACHINE_TYPE, so that `--config.data.root=DIR/development` is
the data set of a run. A transfer that was cut off goes on when the command is repeated. The
recordings are CC BY-NC-SA 4.0; `--help` names their authors' records.
"""

import hashlib
import http.client
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from absl import app, flags
from tqdm import tqdm

from flowasd.errors import UserError

CHUNK = 1 << 20  # bytes


class Part(NamedTuple):
    """A Zenodo record: one archive a machine type.

    Attributes:
        record: Number of the record.
        archive: Names of its archives.
        md5: Their checksums, by machine type.
    """

    record: int
    archive: str
    md5: dict[str, str]


PARTS = {
    "development": Part(
        3678171,
        "dev_data_{}.zip",
        {
            "fan": "649bdfc06263ae7a838963f43b6641e6",
            "pump": "90e7091ef722b7238a7f1009365779cd",
            "slider": "da24a757719f0d94d5aa2d646bbfdc86",
            "ToyCar": "4dec75ca8d9f666aa9e4c1894a740501",
            "ToyConveyor": "03b6aa1bfd09a39d53af0ba39f71fa91",
            "valve": "34d2672f55bb041589ef79c10dc89934",
        },
    ),
    "additional_training": Part(
        3727685,
        "eval_data_train_{}.zip",
        {
            "fan": "567798854130c8019df8b664c095ed1e",
            "pump": "4e33ae9c0db5cc88437675f5e317caee",
            "slider": "f84f186f4295fc23754abcdd1b0580a7",
            "ToyCar": "a5d4ccd498af70b04dd74b644b820006",
            "ToyConveyor": "0e808ac0b761e9fb13d5e0c65caff00d",
            "valve": "057cdd560caffb8305449541afd28c6d",
        },
    ),
    "evaluation": Part(
        3841772,
        "eval_data_test_{}.zip",
        {
            "fan": "1eb9356a768cadfd0f2e59a5c57e578b",
            "pump": "23a8f8f924be218c69df67fe07360348",
            "slider": "0193c769073840332ce3aad84b1ccaa2",
            "ToyCar": "bea2bdd612f616be8f2b8eb087b32c7c",
            "ToyConveyor": "ccfcc9847c7d3404d7ee9d6d9e0b2ba2",
            "valve": "f69c551d2088691050d20cccca9d631c",
        },
    ),
}


def fetch_dcase(root: Path, part: str = "development", machine_type: str = "slider") -> Path:
    """Fetches one machine type of one part, unless it is there.

    Returns:
        `root/part`, which holds the machine type's folder.

    Raises:
        UserError: As `fetch` does.
    """
    record, archive, md5 = PARTS[part]
    url = f"https://zenodo.org/records/{record}/files/{archive.format(machine_type)}?download=1"
    fetch(url, md5[machine_type], root / part / machine_type)
    return root / part


def fetch(url: str, md5: str, folder: Path) -> None:
    """Fetches a ZIP archive and unpacks the one folder in it, which has the name of `folder`.

    The folder appears when it is complete; if it is there, nothing is done.

    Raises:
        UserError: If the transfer fails or is cut off, or the archive is not what it should be.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(f".{folder.name}.zip")
    _download(url, archive)
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        archive.unlink()
        raise UserError(f"{url}: MD5 is {found}, not {md5}; the file was removed, fetch it again")
    _unpack(archive, folder)
    archive.unlink()


def _download(url: str, path: Path) -> None:
    """Fetches what is missing of a file."""
    have = path.stat().st_size if path.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(request, timeout=60) as response:
            if response.status != 206:  # the whole file, asked for or not
                have = 0
            left = response.headers["Content-Length"]
            total = have + int(left) if left else None
            with (
                path.open("ab" if have else "wb") as file,
                tqdm(
                    desc=path.name,
                    total=total,
                    initial=have,
                    unit="B",
                    unit_scale=True,
                    disable=None,
                ) as bar,
            ):
                while chunk := response.read(CHUNK):
                    bar.update(file.write(chunk))
    except HTTPError as error:
        error.close()
        if error.code != 416:  # nothing is missing
            raise UserError(f"{url}: cannot be fetched ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{url}: cannot be fetched ({error}); repeat the command") from error
    else:
        if total and path.stat().st_size < total:
            raise UserError(f"{url}: cut off; repeat the command, it goes on from there")


def _unpack(archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        try:
            with zipfile.ZipFile(archive) as content:
                for name in content.namelist():
                    parts = Path(name).parts
                    if parts[0] != folder.name or ".." in parts:
                        raise UserError(f"{archive}: {name} is not below {folder.name}/")
                content.extractall(scratch)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"{archive}: cannot be unpacked ({error})") from error
        os.replace(Path(scratch, folder.name), folder)


def main() -> None:
    """The command line."""
    records = ", ".join(f"{name}: zenodo.org/records/{PARTS[name].record}" for name in PARTS)
    types = list(PARTS["development"].md5)
    root = flags.DEFINE_string("root", None, "Folder of the archives.", required=True)
    part = flags.DEFINE_enum("part", "development", list(PARTS), f"Part of the data ({records}).")
    machine_type = flags.DEFINE_enum("machine_type", "slider", types, "Machine type.")
    app.define_help_flags()
    try:
        if surplus := flags.FLAGS(sys.argv)[1:]:
            raise UserError(f"not a flag: {' '.join(surplus)}")
        print(fetch_dcase(Path(root.value).expanduser(), part.value, machine_type.value))
    except (flags.Error, UserError, OSError) as error:
        print(f"flowasd: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("flowasd: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
