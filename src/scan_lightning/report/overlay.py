"""Attention pictures: what each word of a caption looks at in an image (paper, figures 3 to 5).

One panel shows all regions; then each word has a panel in which a region is as bright, and its frame as far
up the colour scale, as its weight. All panels share one scale, so a word that looks nowhere in particular
looks like it. Fonts are embedded as outlines of text, frames and labels stay vectors in the PDF.

Shapes: k regions, n words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from scan_lightning.report.text import fit_width, wrap

Array: TypeAlias = NDArray[Any]

SCALE = matplotlib.colormaps["viridis"]  # reads the same to the colour-blind and in grey
PAPER, INK, FAINT = "#ffffff", "#1a1c20", "#8a8f98"
RELEVANCE = "#0072b2"
CANVAS = (38, 42, 50)  # stands in for a picture that is not there
DIM = 0.38  # brightness of what has no weight
_PANEL = 1.29  # inches, the longer side of a picture
_NARROWEST = 0.75  # inches: a slim picture is drawn higher, so that labels below it have room
_WIDTH = 7.2  # inches: two columns of a journal, a page of a report
_LONGEST = 512  # pixels of a picture inside the figure


@dataclass(frozen=True)
class Explained:
    """What a figure shows: one image and one sentence.

    Attributes:
        direction: `t2i`, words look at regions, or `i2t`, regions look at words.
        words: n words, without the start and end tokens.
        weights: (n, k) float: for `t2i` how strongly the word looks at the region; for `i2t` how strongly the
            region looks at the word.
        relevance: R, the cosine of a query with what it attends to: (n,) for `t2i`, (k,) for `i2t`.
        boxes: (k, 4) x1, y1, x2, y2 in pixels of the image.
        size: Width and height of the image in pixels.
        score: The similarity of image and sentence.
    """

    direction: str
    words: Sequence[str]
    weights: Array
    relevance: Array
    boxes: Array
    size: tuple[int, int]
    score: float


def attention_figure(explained: Explained, *, picture: Image.Image | None = None, title: str = "") -> Figure:
    """Draws the panels.

    Args:
        explained: What is shown.
        picture: The image, of any resolution with the proportions of `explained.size`; None draws the regions
            on an empty canvas.
        title: Above the figure; wrapped as needed.

    Returns:
        A figure to hand to `save_figure`.
    """
    width, height = explained.size
    scale = max(_PANEL / max(width, height), min(_NARROWEST / width, 2 * _PANEL / height))
    panel = (width * scale, height * scale)
    layout = _Layout(len(explained.words) + 1, panel, title)
    figure = Figure(figsize=layout.size, facecolor=PAPER)
    place = (layout.margin / layout.size[0], 1 - 0.1 / layout.size[1])
    title_text = "\n".join(layout.title)
    figure.text(*place, title_text, fontsize=9, color=INK, va="top", linespacing=1.25, parse_math=False)
    base = _base(picture, explained.size)
    heat = Normalize(0.0, max(float(explained.weights.max()), 1e-6))
    _draw_regions(layout.axes(figure, 0), base, explained)
    for number, word in enumerate(explained.words):
        axes = layout.axes(figure, number + 1)
        _draw_word(figure, axes, base, explained, number, heat, picture is None)
        label = axes.set_title(word, fontsize=9, color=INK, pad=3, weight="bold", parse_math=False)
        fit_width(label, panel[0] + 0.08)
    _draw_scales(figure, layout, explained, heat)
    return figure


def save_figure(figure: Figure, stem: Path, *, kinds: Sequence[str] = ("pdf", "png")) -> list[Path]:
    """Writes a figure as `STEM.pdf` (vectors) and `STEM.png` (200 dots an inch), each whole or not at all.

    Args:
        figure: What is written.
        stem: Folder and name without a suffix.
        kinds: The suffixes.

    Returns:
        The files.
    """
    paths = []
    for kind in kinds:
        path = stem.with_name(f"{stem.name}.{kind}")
        unfinished = path.with_name(f".{path.name}.partial")
        # No date inside: the same figure is the same file.
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        try:
            with matplotlib.rc_context({"pdf.fonttype": 42}):
                figure.savefig(unfinished, format=kind, dpi=200, metadata=metadata)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        paths.append(path)
    return paths


class _Layout:
    """Where things lie, in inches from the upper left corner."""

    margin, gap, header, footer, scales = 0.12, 0.12, 0.2, 0.22, 0.44

    def __init__(self, panels: int, panel: tuple[float, float], title: str) -> None:
        self.panel = panel
        fitting = max(1, int((_WIDTH - 2 * self.margin + self.gap) / (panel[0] + self.gap)))
        rows = -(-panels // fitting)
        self.columns = -(-panels // rows)  # rows of about the same length
        width = max(2 * self.margin + self.columns * (panel[0] + self.gap) - self.gap, 3.4)
        self.title = wrap(title, inches=width - 2 * self.margin, points=9)
        self.top = 0.08 + len(self.title) * 0.17 + (0.06 if title else 0.0)
        self.row = self.header + panel[1] + self.footer
        self.size = (width, self.top + rows * self.row + self.scales)

    def axes(self, figure: Figure, number: int) -> Axes:
        """The axes of a panel, counted row by row."""
        row, column = divmod(number, self.columns)
        left = self.margin + column * (self.panel[0] + self.gap)
        top = self.top + row * self.row + self.header
        return self.box(figure, left, top, *self.panel)

    def box(self, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at a place of the figure."""
        x, y = self.size
        return figure.add_axes((left / x, 1 - (top + height) / y, width / x, height / y))


def _base(picture: Image.Image | None, size: tuple[int, int]) -> Array:
    """(height, width, 3) uint8, no longer than what a panel can show."""
    shrink = min(1.0, _LONGEST / max(size)) if picture is None else _LONGEST / max(picture.size)
    if picture is None:
        shape = (max(1, round(size[1] * shrink)), max(1, round(size[0] * shrink)), 3)
        return np.broadcast_to(np.array(CANVAS, dtype=np.uint8), shape)
    picture = picture.convert("RGB")
    if shrink < 1:
        picture = picture.resize(
            (max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink)))
        )
    return np.asarray(picture)


def _show(axes: Axes, pixels: Array, size: tuple[int, int]) -> None:
    """The picture in the coordinates of the boxes, without ticks."""
    axes.imshow(pixels, extent=(0, size[0], size[1], 0), interpolation="lanczos", aspect="auto")
    axes.set_xlim(0, size[0])
    axes.set_ylim(size[1], 0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _frame(axes: Axes, box: Array, **style: Any) -> None:
    x1, y1, x2, y2 = box.tolist()
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **{"fill": False, **style}))


def _draw_regions(axes: Axes, base: Array, explained: Explained) -> None:
    _show(axes, base, explained.size)
    word = "region" if len(explained.boxes) == 1 else "regions"
    axes.set_title(f"{len(explained.boxes)} {word}", fontsize=8, color=FAINT, pad=3)
    for number, box in enumerate(explained.boxes):
        color: Any = "white"
        if explained.direction == "i2t":
            color = SCALE(float(np.clip(explained.relevance[number], 0.0, 1.0)))
        _frame(axes, box, ec=INK, lw=1.7, alpha=0.45)
        _frame(axes, box, ec=color, lw=0.8)
    if explained.direction == "i2t":
        _below(axes, "frame: R of the region")


def _draw_word(
    figure: Figure, axes: Axes, base: Array, explained: Explained, number: int, heat: Normalize, blank: bool
) -> None:
    weights = explained.weights[number]
    _show(axes, base if blank else _lit(base, explained, heat(weights)), explained.size)
    # The strongest region last, so that no frame hides its own.
    for region in np.argsort(weights, kind="stable").tolist():
        share = float(heat(weights[region]))
        box = explained.boxes[region]
        if blank:
            _frame(axes, box, fill=True, fc=SCALE(share), ec="none", alpha=0.15 + 0.75 * share)
        _frame(axes, box, ec=SCALE(share), lw=0.4 + 1.6 * share, alpha=0.35 + 0.65 * share)
    if explained.direction == "t2i":
        longest = max(float(explained.relevance.max()), 1e-6)
        _draw_relevance(figure, axes, float(explained.relevance[number]), longest)
    else:
        _below(axes, f"strongest {weights.max():.2f}")


def _below(axes: Axes, text: str) -> None:
    label = axes.set_xlabel(text, fontsize=6.5, color=FAINT, labelpad=2)
    fit_width(label, axes.get_position().width * axes.figure.get_figwidth() + 0.08)


def _lit(base: Array, explained: Explained, shares: Array) -> Array:
    """The picture, each pixel as bright as the strongest region that covers it."""
    height, width = base.shape[:2]
    light = np.zeros((height, width), dtype=np.float32)
    stretch = np.array([width / explained.size[0], height / explained.size[1]] * 2)
    for box, share in zip(explained.boxes * stretch, shares, strict=True):
        x1, y1, x2, y2 = np.round(box).astype(int)
        patch = light[max(y1, 0) : y2, max(x1, 0) : x2]
        np.maximum(patch, share, out=patch)
    lit: Array = base * (DIM + (1 - DIM) * light[:, :, None])
    return lit.astype(np.uint8)


def _draw_relevance(figure: Figure, axes: Axes, relevance: float, longest: float) -> None:
    """A bar from 0 to the figure's largest relevance below the panel, with the number."""
    inch = 1 / figure.get_figheight()
    panel = axes.get_position()
    bar = figure.add_axes((panel.x0, panel.y0 - 0.135 * inch, panel.width, 0.07 * inch))
    bar.axis("off")
    bar.set_xlim(0, 1)
    bar.set_ylim(0, 1)
    start = 0.44 / (panel.width * figure.get_figwidth())  # behind the number
    for reach, color in ((1.0, "#e6e8ec"), (float(np.clip(relevance / longest, 0, 1)), RELEVANCE)):
        bar.add_patch(Rectangle((start, 0.15), (1 - start) * reach, 0.7, fc=color, ec="none"))
    bar.text(0.0, 0.5, f"R {relevance:.2f}", fontsize=7, color=INK, va="center")


def _draw_scales(figure: Figure, layout: _Layout, explained: Explained, heat: Normalize) -> None:
    top = layout.size[1] - layout.scales + 0.12
    asks = "a word on a region" if explained.direction == "t2i" else "a region on a word"
    bar = layout.box(figure, layout.margin + 0.04, top, 1.1, 0.08)
    _scale(figure, bar, heat, f"weight of {asks}")
    if explained.direction == "i2t":
        bar = layout.box(figure, layout.margin + 1.75, top, 1.1, 0.08)
        _scale(figure, bar, Normalize(0.0, 1.0), "relevance R of a region")
    else:
        legend = "bar: relevance R of a word,\ncosine with what it looks at"
        x, y = (layout.margin + 1.75) / layout.size[0], 1 - (top + 0.02) / layout.size[1]
        figure.text(x, y, legend, fontsize=6.5, color=FAINT, va="center", linespacing=1.3)


def _scale(figure: Figure, axes: Axes, heat: Normalize, label: str) -> None:
    bar = figure.colorbar(ScalarMappable(heat, SCALE), cax=axes, orientation="horizontal")
    bar.set_ticks([0.0, float(heat.vmax or 1.0)], labels=["0", f"{heat.vmax:.2f}"])
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=6.5, length=0, pad=2, colors=INK)
    axes.set_title(label, fontsize=6.5, color=FAINT, pad=2, loc="left")
