"""Chromium for the tests of a page: what it may do, and what it sees of colours."""

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing that the browser does for itself: no updates, no reports, no accounts.
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000  # ms


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine with an empty profile; the test is skipped without one."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs Chromium; `apt-get install chromium` installs it on Debian")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=QUIET, chromium_sandbox=False, timeout=PATIENCE
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, width: int = 1280, scheme="light") -> Iterator[Page]:
    """A file in a window; at the end, nothing must have been complained of or asked for outside."""
    complaints = []

    def guard(route):
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            complaints.append(f"request: {route.request.url}")
            route.abort()

    def dismiss(dialog):
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    size = {"width": width, "height": 900}
    with browser.new_context(viewport=size, color_scheme=scheme) as context:  # type: ignore
        context.set_default_timeout(PATIENCE)
        context.route("**/*", guard)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", dismiss)
        page.goto(file.as_uri())
        yield page
    assert not complaints


# Every text that is shown, with its colour and the colour behind it.
SHOWN_TEXT = """() => {
  const clear = "rgba(0, 0, 0, 0)";
  const behind = element => {
    const own = getComputedStyle(element).backgroundColor;
    return own !== clear || !element.parentElement ? own : behind(element.parentElement);
  };
  const hasText = element => Array.from(element.childNodes).some(
    node => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return Array.from(document.body.querySelectorAll("*"))
    .filter(element => hasText(element) && element.getClientRects().length)
    .map(element => {
      const style = getComputedStyle(element);
      const ink = element instanceof SVGElement ? style.fill : style.color;
      return [element.textContent, ink, behind(element)];
    });
}"""


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two opaque colours, from 1 to 21.

    Web Content Accessibility Guidelines 2.2, "contrast ratio" and "relative luminance".
    """
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert found, f"not an opaque colour: {colour}"
    shares = [int(value) / 255 for value in found.groups()]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# The element that has the focus: its place among all controls, and how that is shown.
FOCUSED = """selector => {
  const element = document.activeElement;
  if (element === document.body) return null;
  const style = getComputedStyle(element);
  return {place: Array.from(document.querySelectorAll(selector)).indexOf(element),
    width: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    colour: style.outlineColor, paper: getComputedStyle(document.body).backgroundColor};
}"""


def walked(page: Page, selector: str, at_most: int = 500) -> Iterator[dict]:
    """What gets the focus by the Tab key, one after the other, until the page has been left."""
    for press in itertools.count():
        assert press < at_most, "the Tab key does not leave the page"
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED, selector)
        if focused is None:
            return
        yield focused
