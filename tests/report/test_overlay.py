"""Attention pictures: what is drawn, where, and that nothing lies on top of something else."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from scan_lightning.report.figure_files import save_figure
from scan_lightning.report.overlay import Explained, attention_figure

LONG = ["a", "man", "in", "an", "internationalisation-t-shirt", "juggles", ",", "unsuccessfully", "$5", "."]


def explained(direction: str = "t2i", words: list[str] = LONG, k: int = 7, size=(200, 150)) -> Explained:
    draw = np.random.default_rng(3)
    corner = draw.uniform(0, 0.6, (k, 2)) * size
    boxes = np.hstack([corner, corner + draw.uniform(0.1, 0.4, (k, 2)) * size])
    weights = draw.dirichlet(np.full(k, 0.4), len(words))
    relevance = draw.uniform(-0.2, 0.9, len(words) if direction == "t2i" else k)
    return Explained(direction, words, weights, relevance, boxes, size, 0.37)


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
@pytest.mark.parametrize(
    ("words", "size", "title"),
    [
        (LONG, (200, 150), "a very long sentence " * 12),
        (LONG * 3, (90, 300), "unbroken" * 40),
        (["dog"], (500, 100), ""),
        (LONG[:6], (100, 100), "costs $5 and $7"),
    ],
)
def test_no_label_lies_on_another_or_outside(direction: str, words, size, title) -> None:
    note = f"{title}.png, similarity 0.37" if title else ""
    figure = attention_figure(explained(direction, words, size=size), title=title, note=note)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [text for text in figure.findobj(match=lambda a: hasattr(a, "get_text")) if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_visible()]
    assert len(boxes) > len(words)
    width, height = canvas.get_width_height()
    for name, box in boxes:
        assert box.x0 >= -1, name
        assert box.y0 >= -1, name
        assert box.x1 <= width + 1, name
        assert box.y1 <= height + 1, name
    for (one, a), (other, b) in combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 0.5 or down <= 0.5, f"{one!r} and {other!r} overlap"


def test_every_word_has_a_panel_with_its_relevance() -> None:
    figure = attention_figure(explained(words=["red", "dog"]))
    shown = {text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))}
    relevance = explained(words=["red", "dog"]).relevance
    assert {"red", "dog", "7 regions"} <= shown
    assert {f"R {value:.2f}".replace("-", "\N{MINUS SIGN}") for value in relevance} <= shown


def test_bars_of_relevance_share_one_scale_on_which_a_small_one_looks_small() -> None:
    """Lengths are in proportion to R, those below 0 point the other way in another colour."""
    one = replace(explained(words=["red", "dog", "runs"]), relevance=np.array([0.05, -0.2, 0.1]))
    figure = attention_figure(one)
    bars = [axes.patches for axes in figure.axes if len(axes.patches) == 2]
    assert len(bars) == 3
    lengths = [bar.get_width() for _, bar in bars]
    assert lengths[1] / lengths[0] == pytest.approx(-4)
    assert lengths[2] / lengths[0] == pytest.approx(2)
    back, longest = bars[2]
    assert longest.get_width() / back.get_width() == pytest.approx(0.1 / 0.7)  # from -0.2 to 0.5
    assert back.get_x() == pytest.approx(bars[1][1].get_x() + bars[1][1].get_width())
    assert bars[0][1].get_facecolor() == longest.get_facecolor() != bars[1][1].get_facecolor()
    assert "from \N{MINUS SIGN}0.20 to 0.50" in "".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_a_region_is_as_bright_as_its_weight(direction: str) -> None:
    """Three regions side by side, on white, with weights 1, 0.5 and 0 for the only word."""
    boxes = np.array([[0, 0, 40, 60], [40, 0, 80, 60], [80, 0, 120, 60]], dtype=float)
    relevance = np.array([0.5] if direction == "t2i" else [0.5, 0.5, 0.5])
    one = Explained(direction, ["dog"], np.array([[1.0, 0.5, 0.0]]), relevance, boxes, (120, 60), 0.1)
    figure = attention_figure(one, picture=Image.new("RGB", (120, 60), "white"))
    panel = figure.axes[1]
    assert panel.get_title() == "dog"
    image = panel.get_images()[0].get_array()
    bright = [float(image[30, x].mean()) for x in (20, 60, 100)]
    assert bright[0] == 255
    assert bright[0] > bright[1] > bright[2]
    assert bright[1] == pytest.approx((bright[0] + bright[2]) / 2, abs=2)


def test_boxes_lie_where_they_are_in_the_image_whatever_the_picture_s_resolution() -> None:
    one = explained()
    for picture in (None, Image.new("RGB", (200, 150)), Image.new("RGB", (2000, 1500))):
        figure = attention_figure(one, picture=picture)
        for axes in figure.axes[:2]:
            assert axes.get_xlim() == (0, 200)
            assert axes.get_ylim() == (150, 0)
            corners = {tuple(np.round(patch.get_xy(), 6)) for patch in axes.patches}
            assert {tuple(np.round(box[:2], 6)) for box in one.boxes} <= corners
    proportions = [figure.axes[0].get_window_extent() for figure in (attention_figure(one),)]
    assert proportions[0].width / proportions[0].height == pytest.approx(200 / 150, rel=0.02)


def test_a_picture_and_its_absence_show() -> None:
    picture = Image.new("RGB", (200, 150), (200, 30, 30))
    with_picture = pixels(attention_figure(explained(), picture=picture))
    without = pixels(attention_figure(explained()))
    red = (with_picture[..., 0] > 150) & (with_picture[..., 1] < 60)
    assert red.mean() > 0.02
    assert without.std() > 20  # far from an empty page


def test_files_are_real_whole_and_the_same_again(tmp_path) -> None:
    one = explained()
    paths = save_figure(attention_figure(one, title="a title"), tmp_path / "picture.of.something")
    assert [path.name for path in paths] == ["picture.of.something.pdf", "picture.of.something.png"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    pdf, png = (path.read_bytes() for path in paths)
    assert pdf.startswith(b"%PDF")
    assert b"/TrueType" in pdf or b"/Type42" in pdf or b"CIDFontType2" in pdf  # text, not outlines
    with Image.open(paths[1]) as image:
        assert min(image.size) > 300
        assert np.asarray(image.convert("L")).std() > 20
    save_figure(attention_figure(one, title="a title"), tmp_path / "again")
    assert (tmp_path / "again.pdf").read_bytes() == pdf
    assert (tmp_path / "again.png").read_bytes() == png


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch) -> None:
    figure = attention_figure(explained(words=["dog"]))

    def half(path, **_):
        path.write_bytes(b"half a picture")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", half)
    with pytest.raises(KeyboardInterrupt):
        save_figure(figure, tmp_path / "picture")
    assert list(tmp_path.iterdir()) == []
