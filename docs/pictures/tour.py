"""Makes the pictures of the documentation, by the commands of docs/tour.md: `python docs/pictures/tour.py`.

What lies in outputs/demo, outputs/sweep and outputs/i2t already is used; the rest takes about five minutes on
two cores. Needs Chromium for the pictures of the report page.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, sync_playwright

PICTURES = Path(__file__).parent
PAGES = PICTURES.parent
WIDEST, LARGEST = 1400, 290_000  # pixels, bytes
MARGIN = 8  # pixels round a part of a page
MADE_BY = {  # what a command leaves, by its first words
    "demo": "outputs/demo/results.json",
    "train -m": "outputs/sweep/sweep.json",
    "evaluate": "outputs/i2t/results.json",
}


def main() -> None:
    """Run the tour's commands, then shrink their pictures into docs/pictures."""
    text = (PAGES / "tour.md").read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            run(shlex.split(line)[1:])
    demo = Path("outputs/demo")
    (attention,) = (demo / "mine").glob("*.png")
    for source, name in (
        (demo / "training_curve.png", "training_curve"),
        (demo / "retrieval_2.png", "retrieval"),
        (attention, "attention"),
    ):
        keep(Image.open(source), name)
    photograph(Path("report.html"))


def run(words: list[str]) -> None:
    """Run a `scan-lightning` command unless what it makes is there."""
    made = next((path for start, path in MADE_BY.items() if " ".join(words).startswith(start)), None)
    if made is None or not Path(made).exists():
        subprocess.run([sys.executable, "-m", "scan_lightning", *words], check=True)


def keep(picture: Image.Image, name: str) -> None:
    """Write a picture at most WIDEST pixels wide, with fewer colours where it would be a large file."""
    scale = min(1.0, WIDEST / picture.width)
    size = (round(picture.width * scale), round(picture.height * scale))
    small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    file = PICTURES / f"{name}.png"
    small.save(file, optimize=True)
    if file.stat().st_size > LARGEST:
        small.quantize(256, kmeans=1, dither=Image.Dither.FLOYDSTEINBERG).save(file, optimize=True)


def photograph(report: Path) -> None:
    """Photograph sections of the report page: as it opens, a word focused, a phone in the dark."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("error: no Chromium is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(report.resolve().as_uri())

        def shoot(what: Locator, name: str) -> None:
            file = Path(folder) / f"{name}.png"
            box = what.bounding_box()
            assert box is not None
            scrolled = what.page.evaluate("scrollY")
            clip = {"x": box["x"] - MARGIN, "y": box["y"] + scrolled - MARGIN}
            clip |= {"width": box["width"] + 2 * MARGIN, "height": box["height"] + 2 * MARGIN}
            what.page.screenshot(path=file, clip=clip, full_page=True)
            with Image.open(file) as picture:
                keep(picture, name)

        shoot(page.locator("section:has(#h-sweep)"), "report_sweep")
        page.locator(".thumbs button").nth(6).click()
        page.locator("[data-side=right] .word", has_text="purple").hover()
        page.locator("[data-side=wrong] .word", has_text="disc").click()
        page.locator("[data-side=right] .word", has_text="purple").click()
        shoot(page.locator("section:has(#h-attention)"), "report_attention")
        phone = browser.new_page(
            viewport={"width": 390, "height": 780},
            color_scheme="dark",
            device_scale_factor=2,
            is_mobile=True,
            has_touch=True,
        )
        phone.goto(report.resolve().as_uri())
        phone.locator(".thumbs button").nth(7).tap()
        shoot(phone.locator("[data-side=right]"), "report_phone")
        browser.close()


if __name__ == "__main__":
    main()
