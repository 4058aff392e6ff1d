"""The report page in a real browser: opened from a file, hovered, clicked, tabbed through."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from report.run_folders import write_evaluation, write_training
from scan_lightning.cli import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory, scenes, checkpoint) -> dict[str, Path]:
    """A page with pictures of one evaluation, and one without of a sweep."""
    folder = tmp_path_factory.mktemp("pages")
    training = write_training(folder / "one" / "train", checkpoint(), scenes.path)
    write_evaluation(folder / "one" / "test", training / "checkpoints" / "best.ckpt", scenes.path)
    for smoothing in (4.0, 9.0, 14.0):
        for direction in ("t2i", "i2t"):
            write_training(
                folder / "sweep" / f"{direction}-{smoothing:g}",
                checkpoint("i2t"),
                scenes.path,
                rsum=100 + smoothing,
                attention__smoothing=smoothing,
                attention__direction=direction,
            )
    pages = {name: folder / f"{name}.html" for name in ("one", "sweep")}
    assert (
        main(["report", str(folder / "one"), "--out", str(pages["one"]), "--images", str(scenes.images)]) == 0
    )
    assert main(["report", str(folder / "sweep"), "--out", str(pages["sweep"])]) == 0
    return pages


@dataclass
class Opened:
    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Browser, files: dict[str, Path]):
    contexts = []

    def open_page(name: str, width: int = 1200, scheme: str = "light", touch: bool = False) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch, is_mobile=touch
        )
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.set_default_timeout(60_000)
        opened.page.on("console", lambda message: opened.complaints.append(message.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(files[name].as_uri())
        return opened

    yield open_page
    for context in contexts:
        context.close()


def lit(page: Page, side: str) -> list[float]:
    """How far each region of a side is lit, in the order of the regions."""
    return page.eval_on_selector_all(
        f"[data-side={side}] mask rect:not(:first-child)",
        "all => all.map(r => Number(r.getAttribute('fill-opacity')))",
    )


def test_has_every_section_and_no_complaint_and_no_request(open_page) -> None:
    opened = open_page("one")
    page = opened.page
    titles = page.locator("h2").all_inner_texts()
    assert titles == ["Recall", "Training", "Ranks", "Attention explorer", "Best and worst queries", "Runs"]
    assert page.locator("#curves svg").count() == 2
    assert page.locator("#ranks svg").count() == 2
    assert page.locator(".thumbs button").count() == 12
    assert page.locator(".interval").count() == 7
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1


def test_a_word_lights_its_regions_and_a_region_its_words(open_page) -> None:
    page = open_page("one").page
    data = page.evaluate("report.explorer.pictures[0]")
    sentence = next(one for one in data["sentences"] if one["right"])
    first = max(
        zip(sentence["weights"], sentence["relevance"], strict=True), key=lambda word: max(word[0]) * word[1]
    )
    assert lit(page, "right") == pytest.approx([weight / data["heat"] for weight in first[0]])
    other = lit(page, "wrong")
    page.locator("[data-side=right] [data-word='1']").hover()
    expected = [weight / data["heat"] for weight in sentence["weights"][1]]
    assert lit(page, "right") == pytest.approx(expected)
    assert lit(page, "wrong") == other
    most = int(np.argmax(sentence["weights"][1])) + 1
    note = page.locator("[data-side=right] .note")
    assert f"“{sentence['words'][1]}” attends most to region {most}" in note.inner_text()
    assert f"R {sentence['relevance'][1]:.2f}".replace("-", "\N{MINUS SIGN}") in note.inner_text()

    page.locator("[data-side=right] [data-region='0']").focus()
    alone = [1.0] + [0.0] * (len(data["boxes"]) - 1)
    assert lit(page, "right") == lit(page, "wrong") == alone
    strongest = int(np.argmax([line[0] for line in sentence["weights"]]))
    assert f"“{sentence['words'][strongest]}”" in note.inner_text()
    colours = page.eval_on_selector_all(
        "[data-side=right] .word", "all => all.map(word => word.style.background)"
    )
    assert all(colours)
    assert len(set(colours)) > 1


def test_a_click_holds_until_the_next(open_page) -> None:
    page = open_page("one").page
    page.locator("[data-side=wrong] .word").first.focus()
    page.keyboard.press("Escape")
    assert max(lit(page, "wrong")) == 0
    word = page.locator("[data-side=wrong] [data-word='0']")
    word.click()
    page.mouse.move(5, 5)
    page.evaluate("document.activeElement.blur()")
    held = lit(page, "wrong")
    assert max(held) > 0
    page.locator("[data-side=wrong] [data-word='1']").hover()
    assert lit(page, "wrong") != held
    page.mouse.move(5, 5)
    assert lit(page, "wrong") == held
    word.click()
    page.mouse.move(5, 5)
    page.evaluate("document.activeElement.blur()")
    assert max(lit(page, "wrong")) == 0


def test_works_by_keyboard_alone(open_page) -> None:
    page = open_page("one").page
    page.locator(".thumbs button").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".thumbs [aria-pressed=true]").get_attribute("aria-label").startswith("picture 2")
    stops = []
    for _ in range(3):  # each group is one stop, however many pictures, regions and words there are
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert stops[0].startswith("SELECT")
    assert page.evaluate("document.activeElement.matches('[data-side=right] .word')"), stops
    assert page.evaluate("document.activeElement.dataset.word") == "0"
    assert max(lit(page, "right")) > 0
    first = lit(page, "right")
    page.keyboard.press("ArrowRight")
    assert lit(page, "right") != first
    page.keyboard.press("End")
    words = page.locator("[data-side=right] .word").count()
    assert page.evaluate("document.activeElement.dataset.word") == str(words - 1)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert max(lit(page, "right")) == 0
    page.locator("[data-side=right] .region").first.focus()
    page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")
    assert max(lit(page, "right")) == 1


def test_choosing_a_picture_and_a_sentence(open_page) -> None:
    page = open_page("one").page
    page.locator(".thumbs button").nth(3).click()
    data = page.evaluate("report.explorer.pictures[3]")
    own = [one for one in data["sentences"] if one["right"]]
    wrong = [one for one in data["sentences"] if not one["right"]]
    assert own[0]["text"] in page.locator("[data-side=right] .sentence").inner_text()
    assert wrong[0]["text"] in page.locator("[data-side=wrong] .sentence").inner_text()
    page.locator("[data-side=right] select").select_option("2")
    assert page.locator("[data-side=right] .word").all_inner_texts() == own[2]["words"]
    assert page.locator("[data-side=right] .region").count() == len(data["boxes"])


def test_regions_lie_where_their_boxes_are(open_page, scenes) -> None:
    page = open_page("one").page
    data = page.evaluate("report.explorer.pictures[0]")
    svg = page.locator("[data-side=right] svg.picture").bounding_box()
    scale = min(svg["width"] / data["width"], svg["height"] / data["height"])
    left = svg["x"] + (svg["width"] - data["width"] * scale) / 2
    top = svg["y"] + (svg["height"] - data["height"] * scale) / 2
    stored = scenes.store.boxes(scenes.store.find_image(data["id"]))
    for region, box in enumerate(stored):
        drawn = page.locator(f"[data-side=right] [data-region='{region}']").bounding_box()
        assert drawn["x"] == pytest.approx(left + box[0] * scale, abs=3)
        assert drawn["y"] == pytest.approx(top + box[1] * scale, abs=3)
        assert drawn["width"] == pytest.approx((box[2] - box[0]) * scale, abs=5)


@pytest.mark.parametrize("name", ["one", "sweep"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_and_shows_both_schemes(open_page, tmp_path, name, scheme) -> None:
    opened = open_page(name, width=360, scheme=scheme, touch=True)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    before = lit(page, "right")
    page.locator("[data-side=right] .word:not(.lit)").first.tap()
    assert max(lit(page, "right")) > 0
    assert lit(page, "right") != before
    names = page.locator(".recall tbody th").first.bounding_box()
    assert names["width"] < 170  # a long name leaves room for figures
    page.locator(".recall").evaluate("table => { table.parentElement.scrollLeft = 100; }")
    assert page.locator(".recall tbody th").first.bounding_box()["x"] == names["x"]
    shot = tmp_path / "phone.png"
    page.screenshot(path=shot, full_page=True)
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.std() > 15
    assert (np.median(pixels) < 60) == (scheme == "dark")
    assert opened.complaints == []


def test_a_sweep_has_a_heat_map_and_parallel_coordinates(open_page) -> None:
    opened = open_page("sweep")
    page = opened.page
    assert "Sweep" in page.locator("h2").all_inner_texts()
    assert page.locator("#sweep .cell").count() == 6
    columns = page.locator("#sweep .card").first.locator("svg text").all_text_contents()[:3]
    assert columns == ["4.0", "9.0", "14.0"]
    cell = page.locator("#sweep .cell").last
    cell.hover()
    told = page.locator("#sweep .card").first.locator(".note").inner_text()
    assert re.fullmatch(r"\w+-\w+: rsum \d+\.\d", told)
    assert page.locator("#sweep .line").count() == 6
    line = page.locator("#sweep .line").last  # the best is drawn last
    line.focus()
    assert "rsum 114.0" in page.locator("#sweep .card").nth(1).locator(".note").inner_text()
    across, down = page.locator("#sweep select").all()
    before = page.locator("#sweep .card").first.locator("svg").inner_html()
    across.select_option("1")
    down.select_option("0")
    assert page.locator("#sweep .card").first.locator("svg").inner_html() != before
    assert page.locator("#sweep .cell").count() == 6
    assert page.locator(".paper").count() == 0  # the paper has no scenes
    assert opened.complaints == []


def test_without_pictures_regions_lie_on_a_canvas(open_page) -> None:
    page = open_page("sweep").page
    assert page.locator("[data-side=right] image").count() == 0
    page.locator("[data-side=right] [data-word='0']").hover()
    fills = page.eval_on_selector_all(
        "[data-side=right] .region", "all => all.map(region => getComputedStyle(region).fill)"
    )
    sentence = next(one for one in page.evaluate("report.explorer.pictures[0].sentences") if one["right"])
    assert all(fill.startswith("rgb(") for fill in fills)
    assert len(set(fills)) == len(set(sentence["weights"][0]))
    assert page.locator("[data-side=right] [mask]").get_attribute("visibility") == "hidden"
    assert "is attended to most by region" in page.locator("[data-side=right] .note").inner_text()


def test_the_files_are_small_and_alone(files) -> None:
    for path in files.values():
        text = path.read_text()
        assert len(text) < 8e6 * 12 / 40
        assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text.partition('id="data"')[0])
