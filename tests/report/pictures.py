"""Makes the pictures of docs/: `python -m tests.report.pictures runs/slider/report.html`."""

import io
import sys
from pathlib import Path

from PIL import Image

from tests.conftest import REPO
from tests.report.browser import chromium, opened

PICTURES = {
    "report.png": ("light", 1280, 1500),
    "report_dark.png": ("dark", 1280, 1500),
    "report_phone.png": ("light", 400, 1500),
    "report_phone_dark.png": ("dark", 400, 1500),
}
COLOURS = 128  # which keeps a picture below 200 kB


def main(report: Path) -> None:
    with chromium() as browser:
        for name, (scheme, width, height) in PICTURES.items():
            with opened(browser, report.absolute(), width, scheme) as page:
                page.set_viewport_size({"width": width, "height": height})
                picture = Image.open(io.BytesIO(page.screenshot()))
            small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(REPO / "docs" / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
