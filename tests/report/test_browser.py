"""The report as Chromium shows it: at two widths, light and dark, by mouse and by keyboard."""

import dataclasses

import pytest
import soundfile

from flowasd.report.explained import write_explanation
from flowasd.report.report import write_report
from tests.report.browser import SHOWN_TEXT, chromium, contrast, opened, walked
from tests.report.evaluations import (
    HOSTILE,
    make_clips,
    make_evaluation,
    make_example,
    make_explanation,
)

pytestmark = pytest.mark.slow

NARROW, WIDE = 400, 1280  # pixels: a phone and a desk
CONTROLS = "a[href], button, input, select, audio, summary, [tabindex='0']"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture(params=[NARROW, WIDE])
def width(request):
    return request.param


@pytest.fixture
def page(browser, evaluated, width, scheme):
    """The report of the small run of all tests; no test may make it complain."""
    with opened(browser, evaluated / "report.html", width, scheme) as page:
        yield page


@pytest.fixture
def wide(browser, evaluated):
    """The same on a desk alone."""
    with opened(browser, evaluated / "report.html") as page:
        yield page


@pytest.fixture(scope="module")
def explanation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    write_explanation(folder, folder / "clip.wav", make_explanation(), "SIMULATED", 0.1)
    return folder / "clip.html"


@pytest.fixture
def explained(browser, explanation, width, scheme):
    """The page of a recording that was explained."""
    with opened(browser, explanation, width, scheme) as page:
        yield page


def unfold(page):
    page.locator("details").evaluate_all("folded => folded.forEach(part => part.open = true)")


def test_the_page_itself_does_not_scroll_sideways(page):
    assert_fits(page)


def test_an_explained_page_does_not_scroll_sideways(explained):
    assert_fits(explained)


def assert_fits(page):
    unfold(page)
    page.evaluate("window.scrollTo(1000, 0)")
    assert page.evaluate("window.scrollX") == 0
    parts = page.locator("h1, h2, p, figure, audio, caption span, dd, label, .scroll")
    beyond = parts.evaluate_all("""parts => parts.filter(part =>
      part.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5
    ).map(part => part.textContent)""")
    assert not beyond


def test_a_row_of_the_clips_is_seen_whole(page):
    """Without scrolling sideways within the table."""
    region = page.get_by_role("region", name="All clips")
    assert region.evaluate("region => region.scrollWidth <= region.clientWidth")


def test_text_stands_out(page):
    assert_legible(page)


def test_text_of_an_explained_page_stands_out(explained):
    assert_legible(explained)


def assert_legible(page):
    unfold(page)
    shown = page.evaluate(SHOWN_TEXT)
    assert len(shown) > 30
    for text, ink, paper in shown:
        assert contrast(ink, paper) >= 4.5, (text, ink, paper)  # level AA


def test_the_page_is_light_or_dark(page, scheme):
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (contrast(paper, "rgb(255, 255, 255)") > 10) == (scheme == "dark")


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(page):
    unfold(page)
    reached = set()
    for focused in walked(page, CONTROLS):
        reached.add(focused["place"])
        assert focused["width"] >= 2, focused
        assert contrast(focused["colour"], focused["paper"]) >= 3, focused  # as WCAG asks
    assert reached == {*range(page.locator(CONTROLS).count())}


def rows_of(page):
    """The texts of the rows of the clips that are shown."""
    rows = page.locator("#clips tbody tr:not([hidden])")
    return rows.evaluate_all("rows => rows.map(row => Array.from(row.cells, c => c.textContent))")


@pytest.mark.parametrize("press", ["click", "Enter", "Space"])
def test_the_clips_are_sorted(wide, press):
    before = rows_of(wide)
    heading = wide.get_by_role("columnheader", name="Score")
    button = heading.get_by_role("button")
    for order, sign in (("ascending", 1), ("descending", -1)):
        button.click() if press == "click" else button.press(press)
        assert heading.get_attribute("aria-sort") == order
        assert rows_of(wide) == sorted(before, key=lambda row: sign * float(row[3]))
    wide.get_by_role("button", name="File").press("Enter")
    assert [row[0] for row in rows_of(wide)] == sorted(row[0] for row in before)
    assert heading.get_attribute("aria-sort") is None


def test_the_clips_are_filtered(wide):
    every = rows_of(wide)
    wide.get_by_label("File name has").fill("NORMAL_id_00")
    found = [row for row in every if "normal_id_00" in row[0]]
    assert 0 < len(found) < len(every)
    assert rows_of(wide) == found
    assert wide.get_by_role("status").inner_text() == f"{len(found)} of {len(every)} clips"
    wide.get_by_label("File name has").fill("")
    wide.get_by_label("Machine ID").select_option("id_02")
    wide.get_by_label("Label").select_option("anomalous")
    assert rows_of(wide) == [row for row in every if row[1:3] == ["id_02", "anomalous"]]


def test_the_sounds_can_be_played(wide, test_clips):
    seconds = min(soundfile.info(test_clips[0]).duration, 10)
    sounds = wide.locator("audio")
    assert sounds.count() > 1
    for sound in sounds.all():
        duration = sound.evaluate("""async sound => {
          sound.muted = true;
          await sound.play();
          await new Promise(heard => sound.addEventListener("timeupdate", heard));
          sound.pause();
          return sound.duration;
        }""")
        assert duration == pytest.approx(seconds, abs=0.01)


def test_the_config_opens_by_the_keyboard(wide):
    key = wide.get_by_role("rowheader", name="score.alpha", exact=True)
    summary = wide.get_by_text("Config", exact=True)
    assert not key.is_visible()
    summary.press("Enter")
    assert key.is_visible()
    summary.press("Enter")
    assert not key.is_visible()


def test_hostile_names_do_nothing(browser, tmp_path):
    clips = [dataclasses.replace(clip, machine_id=HOSTILE) for clip in make_clips(("id_00",))]
    evaluation = make_evaluation(
        title=HOSTILE,
        clips=clips,
        paths=[HOSTILE for _ in clips],
        examples=[make_example(HOSTILE)],
        facts={HOSTILE: HOSTILE},
    )
    write_report(tmp_path / "report.html", evaluation)
    with opened(browser, tmp_path / "report.html", NARROW) as page:
        assert_fits(page)
        assert page.get_by_text(HOSTILE).count() > len(clips)
        page.get_by_role("button", name="File").click()
        page.get_by_label("File name has").fill("<script>")
        assert len(rows_of(page)) == len(clips)
        assert page.locator("img").count() == 0


def test_contrast_is_that_of_the_guidelines():
    """Of greys on white, #767676 is the lightest that passes, and #777777 fails."""
    white = "rgb(255, 255, 255)"
    assert contrast("rgb(0, 0, 0)", white) == pytest.approx(21)
    assert contrast(white, "rgb(118, 118, 118)") == pytest.approx(4.54, abs=0.005)
    assert contrast("rgb(119, 119, 119)", white) == pytest.approx(4.48, abs=0.005)
