"""Recordings that cannot be used: one error names all of them."""

import numpy as np
import pytest
import soundfile

from flowasd.errors import UserError
from flowasd.features.cache import cached_features
from tests.features.recordings import FRONTEND, assert_right


def test_absurd_samples_are_refused(tmp_path, folder):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(1000, 1e30), 16000, "FLOAT")
    with pytest.raises(UserError, match=r"loud\.wav: samples are too large"):
        cached_features([path], FRONTEND, folder)


def test_broken_links_are_listed_like_other_bad_files(clips, tmp_path, folder):
    link = tmp_path / "normal_id_00_00000009.wav"
    link.symlink_to(tmp_path / "nowhere.wav")
    with pytest.raises(UserError, match=r"(?s)1 of 4 recordings.*normal_id_00_00000009"):
        cached_features([*clips, link], FRONTEND, folder)


def test_every_bad_file_is_listed_in_one_error(clips, tmp_path, folder, computed):
    bad = [tmp_path / name for name in ("bad1.wav", "bad2.flac", "loud.wav", "missing.wav")]
    for path in bad[:2]:
        path.write_bytes(b"not audio")
    soundfile.write(bad[2], np.full(1000, 1e30), 16000, "FLOAT")
    with pytest.raises(UserError) as caught:
        cached_features([bad[0], *clips, *bad[1:]], FRONTEND, folder)
    first, *lines = str(caught.value).splitlines()
    assert first == "4 of 7 recordings cannot be used:"
    assert [line.strip().split(": ")[0] for line in lines] == list(map(str, bad))
    computed.clear()
    assert_right(cached_features(clips, FRONTEND, folder), clips)
    assert computed == []  # what was good has been kept
