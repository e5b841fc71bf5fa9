"""Archives with folders in other places, archives that would escape, damaged ones."""

import random
import shutil
import stat
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowasd.data.archives import unpack
from flowasd.errors import UserError

TYPES = ["fan", "slider", "ToyCar", "ToyCarEmu"]
_BYTES = random.Random(0)
CLIPS = {
    "train/normal_id_00_00000000.wav": _BYTES.randbytes(1000),
    "test/anomaly_id_00_00000000.wav": _BYTES.randbytes(500),
}


def below(folder, clips=CLIPS):
    return {f"{folder}{name}": content for name, content in clips.items()}


def zipped(path, members):
    """Writes an archive; a name may be a `ZipInfo`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo("member")
            if isinstance(name, zipfile.ZipInfo):
                member = name
            else:
                member.filename = member.orig_filename = name  # unchanged, however odd it is
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def files(folder):
    """All below a folder, hidden files and all."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    "top",
    [
        "slider/",
        "slider/slider/",
        "dev_data_slider/slider/slider/",
        "dev_data_slider/",
        "a/b/dev_slider/c/",
        "./slider/",
    ],
)
def test_the_folder_is_found_wherever_it_is(top, tmp_path):
    archive = zipped(tmp_path / "kaggle.zip", below(top))
    assert unpack(archive, tmp_path / "root", TYPES) == ["slider"]
    assert files(tmp_path / "root") == below("slider/")
    assert archive.exists()


def test_the_name_of_the_archive_may_say_the_type(tmp_path):
    unpack(zipped(tmp_path / "dev_data_ToyCar.zip", CLIPS), tmp_path / "root", TYPES)
    assert files(tmp_path / "root") == below("ToyCar/")


def test_all_types_of_an_archive_or_one(tmp_path):
    members = below("fan/fan/") | below("x/ToyCarEmu/") | below("robot/")
    archive = zipped(tmp_path / "a.zip", members)
    assert unpack(archive, tmp_path / "root", TYPES) == ["fan", "ToyCarEmu"]
    assert files(tmp_path / "root") == below("fan/") | below("ToyCarEmu/")
    unpack(archive, tmp_path / "one", ["fan"])
    assert files(tmp_path / "one") == below("fan/")
    with pytest.raises(UserError, match=r"no train/ or test/ of ToyCar$"):
        unpack(archive, tmp_path / "root", ["ToyCar"])


def test_what_later_editions_have_beside_the_recordings(tmp_path):
    splits = ("train", "source_test", "target_test", "supplemental")
    clips = {f"{split}/a.wav": b"a" for split in splits} | {"attributes_00.csv": b"b"}
    clutter = {"__MACOSX/slider/train/._a.wav": b"x", "slider/.DS_Store": b"x", "README.md": b"x"}
    unpack(zipped(tmp_path / "a.zip", below("slider/", clips) | clutter), tmp_path / "r", TYPES)
    assert files(tmp_path / "r") == below("slider/", clips)


def test_a_type_that_is_there_twice_or_already(tmp_path):
    archive = zipped(tmp_path / "a.zip", below("dev/slider/") | below("eval/slider/"))
    with pytest.raises(UserError, match=r"has slider in dev/slider and in eval/slider"):
        unpack(archive, tmp_path / "root", TYPES)
    (tmp_path / "root" / "slider").mkdir(parents=True)
    with pytest.raises(UserError, match=r"slider: is there already; remove it first"):
        unpack(zipped(tmp_path / "b.zip", below("slider/")), tmp_path / "root", TYPES)
    assert files(tmp_path / "root") == {}


def special(name, kind=0, flags=0):
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o777) << 16
    member.flag_bits = flags
    return member


ESCAPES: dict[str, Any] = {
    name: name
    for name in (
        "../evil.wav",
        "/evil.wav",
        "slider/../../evil.wav",
        "slider/train/..",
        "slider/train/../../../evil.wav",
        "slider\\..\\..\\evil.wav",
        "..\\evil.wav",
        "C:/evil.wav",
        "c:evil.wav",
        "//host/evil.wav",
        "slider/train/evil\0.wav",
        "\0",
        "",
        ".",
    )
} | {
    "link": special("slider/train/evil.wav", stat.S_IFLNK),
    "device": special("slider/train/evil.wav", stat.S_IFCHR),
    "pipe": special("evil.wav", stat.S_IFIFO),
}


@pytest.mark.parametrize("name", ESCAPES.values(), ids=ESCAPES.keys())
def test_nothing_is_written_outside_the_folder(name, tmp_path):
    archive = zipped(tmp_path / "a.zip", below("slider/") | {name: b"/etc/passwd"})
    with pytest.raises(UserError, match="it was not unpacked"):
        unpack(archive, tmp_path / "x" / "root", TYPES)
    assert list(files(tmp_path)) == ["a.zip"]


PATHS = st.lists(
    st.sampled_from(["..", ".", "", "slider", "train", "evil", "a\\b", "C:", "\0", "~"]),
    min_size=1,
    max_size=6,
).map("/".join)


@given(st.lists(PATHS, min_size=1, max_size=4, unique=True))
def test_no_path_escapes(tmp_path_factory, names):
    outside = tmp_path_factory.mktemp("outside")
    archive = zipped(outside / "a.zip", dict.fromkeys(names, b"evil"))
    try:
        unpack(archive, outside / "x" / "root", TYPES)
    except UserError:
        return
    assert all(path == "a.zip" or path.startswith("x/root/slider/") for path in files(outside))


@pytest.mark.parametrize("name", ["slider/train", "slider/train/normal_id_00_00000000.wav/a.wav"])
def test_a_file_where_a_folder_should_be(name, tmp_path):
    archive = zipped(tmp_path / "a.zip", {name: b"x"} | below("slider/"))
    with pytest.raises(UserError, match=r"a\.zip: ") as caught:
        unpack(archive, tmp_path / "root", TYPES)
    assert "\n" not in str(caught.value)
    assert files(tmp_path / "root") == {}


def test_a_path_that_is_there_twice(tmp_path):
    twice = {"./slider/train/normal_id_00_00000000.wav": b"another"}
    archive = zipped(tmp_path / "a.zip", below("slider/") | twice)
    with pytest.raises(UserError, match="is there twice; it was not unpacked"):
        unpack(archive, tmp_path / "root", TYPES)
    assert files(tmp_path) == {"a.zip": archive.read_bytes()}


def test_what_is_encrypted(tmp_path):
    content = bytearray(zipped(tmp_path / "a.zip", below("slider/")).read_bytes())
    for i in range(len(content)):  # the bit is in the directory, 8 bytes from the beginning
        if content[i : i + 4] == b"PK\x01\x02":
            content[i + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="is encrypted"):
        unpack(tmp_path / "a.zip", tmp_path / "root", TYPES)


def test_what_the_disk_has_no_room_for(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", {"slider/train/a.wav": bytes(30_000_000)})
    assert archive.stat().st_size < 100_000
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    with pytest.raises(UserError, match=r"0\.03 GB are needed and 0\.01 GB are free"):
        unpack(archive, tmp_path / "root", TYPES)
    assert files(tmp_path / "root") == {}


def test_a_size_that_is_a_lie_writes_no_more(tmp_path):
    content = zipped(tmp_path / "a.zip", {"slider/train/a.wav": bytes(30_000_000)}).read_bytes()
    lie = content.replace((30_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(lie)
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "root", TYPES)
    assert files(tmp_path / "root") == {}


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06"])
def test_what_is_no_archive(content, tmp_path):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip: is no ZIP archive, or damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "root", TYPES)
    with pytest.raises(UserError, match="No such file"):
        unpack(tmp_path / "b.zip", tmp_path / "root", TYPES)


def test_every_cut_is_noticed(tmp_path):
    content = zipped(tmp_path / "a.zip", below("slider/")).read_bytes()
    for size in range(0, len(content), 37):
        (tmp_path / "a.zip").write_bytes(content[:size])
        with pytest.raises(UserError, match="damaged"):
            unpack(tmp_path / "a.zip", tmp_path / "root", TYPES)
    assert not (tmp_path / "root").exists()


@given(st.integers(0, 2**32))
def test_damage_is_refused_or_harmless(tmp_path_factory, seed):
    """Whatever bytes are changed, what is unpacked has the right content, or one line says why."""
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(zipped(folder / "a.zip", below("slider/")).read_bytes())
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    (folder / "a.zip").write_bytes(content)
    try:
        unpack(folder / "a.zip", folder / "root", TYPES)
    except UserError:
        return
    unpacked = files(folder / "root")
    assert all(name.startswith("slider/") for name in unpacked)
    assert set(unpacked.values()) <= set(CLIPS.values()) | {b""}


def test_an_interruption_leaves_no_half_folder(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", below("slider/"))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "root", TYPES)
    assert files(tmp_path / "root") == {}


def test_a_compression_that_python_does_not_know_is_no_damage(tmp_path):
    """Method 97, as WavPack has it, in the headers of every file and in the list of files."""
    archive = zipped(tmp_path / "a.zip", below("slider/"))
    content = archive.read_bytes()
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        parts = content.split(signature)
        at = place - len(signature)
        parts[1:] = [part[:at] + b"\x61\x00" + part[at + 2 :] for part in parts[1:]]
        content = signature.join(parts)
    archive.write_bytes(content)
    with pytest.raises(UserError, match="compressed in a way that Python cannot read"):
        unpack(archive, tmp_path / "root", TYPES)
    assert not files(tmp_path / "root")
