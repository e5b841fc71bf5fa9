"""What the page may do: nothing from outside, no script but its own, whatever names it shows."""

import base64
import dataclasses
import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.report.evaluations import (
    HOSTILE,
    make_clips,
    make_example,
)

pytestmark = pytest.mark.slow

BARE = {"history": [], "examples": []}  # what tests of the rest need not wait for
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_reaches_for_nothing_outside(report):
    page = report()
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "base", "object", "embed", "form")
        for key, value in attrs.items():
            assert not key.startswith("on"), (tag, attrs)
            assert (tag, key) != ("script", "src")
            if key in ("src", "srcset", "href", "xlink:href", "action", "data", "poster"):
                assert re.match(r"#|data:|$", value), (tag, attrs)
    assert not re.search(r"url\((?!#)|@import", page.html)
    # No address at all, but for the names of what the pictures are written in.
    assert set(re.findall(r"[a-z]+://[^\s\"'<>]+", page.html)) == NAMESPACES
    assert not re.search(r"[\"'(=]//", page.html)
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_the_script_is_the_only_one_that_may_run(report):
    page = report(**BARE)
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.html
    (filters,) = [attrs for _, attrs in page.tags if attrs.get("id") == "clip-filters"]
    assert "hidden" in filters  # they would do nothing without the script


def test_every_table_has_a_caption_and_every_region_a_key(report):
    page = report()
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") > 4
    for attrs in (attrs for _, attrs in page.tags if attrs.get("class") == "scroll"):
        assert attrs["tabindex"] == "0"
        assert attrs["aria-label"]


def assert_not_obeyed(page):
    """The name is text, in the pictures too, which are XML of their own."""
    assert "img" not in {tag for tag, _ in page.tags}
    assert len(page.scripts) == 1  # its own
    assert "alert" not in page.scripts[0]
    for tag, attrs in page.tags:
        assert not any(key.startswith("on") for key in attrs)
        assert "src" not in attrs or (tag == "audio" and attrs["src"].startswith("data:"))
    for svg in re.findall(r"<svg.*?</svg>", page.html, re.DOTALL):
        ElementTree.fromstring(svg)


def test_hostile_names_are_shown_not_obeyed(report):
    clips = [dataclasses.replace(clip, machine_id=HOSTILE) for clip in make_clips(("id_00",))]
    odd = clips + make_clips(("_hidden",))
    page = report(
        title=HOSTILE,
        clips=odd,
        examples=[make_example(HOSTILE)],
        facts={HOSTILE: {"$": [HOSTILE]}},
    )
    assert page.text.count(HOSTILE) >= 7  # title twice, table, histogram, ROC, example, facts
    assert_not_obeyed(page)
    assert "_hidden: AUC" in page.text
    assert f"scores of {HOSTILE}" in page.pictures
    assert f"why {HOSTILE} has its score" in page.pictures


@pytest.mark.parametrize(
    "changes",
    [
        {"title": HOSTILE},
        {"workdir": Path("runs", HOSTILE.replace("/", "∕"))},
        {"clips": [dataclasses.replace(c, machine_id=HOSTILE) for c in make_clips(("a",))]},
        {"clips": [dataclasses.replace(c, machine_id=HOSTILE) for c in make_clips(("a",), (0,))]},
        {
            "clips": make_clips(("a",))
            + [dataclasses.replace(c, machine_id=HOSTILE) for c in make_clips(("a",), (0,))]
        },
        {"examples": [make_example(HOSTILE)]},
        {"examples": [make_example("a", rule=HOSTILE)]},
        {"examples": [dataclasses.replace(make_example("a"), why=HOSTILE)]},
        {"clips": [dataclasses.replace(c, name=HOSTILE) for c in make_clips(("a",))]},
        {"curves": {HOSTILE: {0.2: 0.5, 1.0: 0.75}}},
        {"proxy_auc": {"std": 0.5, HOSTILE: 0.75}},
        {"facts": {"device": HOSTILE}},
        {"facts": {HOSTILE: 1}},
        {"facts": {"versions": {HOSTILE: "1", "x": [HOSTILE, HOSTILE]}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_value_is_escaped_wherever_it_stands(report, changes):
    page = report(**BARE | changes)
    shown = page.text.replace("∕", "/")
    assert HOSTILE in shown
    assert_not_obeyed(page)


def test_hostile_rules_are_shown_not_obeyed(report):
    clips = [dataclasses.replace(c, scores={"std": 0.0, HOSTILE: 1.0}) for c in make_clips()]
    page = report(clips=clips, **BARE)
    assert page.tables["metrics"][3][0] == HOSTILE
    assert_not_obeyed(page)


def test_names_that_are_not_unicode(report):
    assert "b?.wav" in report(examples=[make_example("b\udcff.wav")]).text
