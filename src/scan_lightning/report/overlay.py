"""Attention figures: what each word of a caption attends to in an image (paper, figures 3 to 5).

One panel shows all regions; then each word has a panel in which a region is as bright, and its frame as far
up the colour scale, as its weight. All panels share one scale. Text, frames and labels stay vectors in a PDF.

Shapes: k regions, n words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

from scan_lightning.report.layout import Layout, fit_width, signed

Array: TypeAlias = NDArray[Any]

SCALE = matplotlib.colormaps["viridis"]  # reads the same to the colour-blind and in grey
PAPER, INK, FAINT = "#ffffff", "#1a1c20", "#6b717b"
RELEVANCE, NEGATIVE = "#0072b2", "#d55e00"  # R above and below 0
OUTLINE = "#7d8594"  # of regions on an empty canvas
CANVAS = (38, 42, 50)  # stands in for a missing picture
DIM = 0.38  # brightness of what has no weight
_BAR = 0.5  # R at the end of the bars' scale at least, so that a small R does not look large
_LONGEST = 512  # pixels of a picture inside the figure


@dataclass(frozen=True)
class Explained:
    """The attention between one image and one sentence."""

    direction: str  # `t2i`, words attend to regions, or `i2t`, regions attend to words
    words: Sequence[str]  # n words, without the start and end tokens
    weights: Array  # (n, k) attention weight between each word and each region
    relevance: Array  # R, the cosine of a query with its attended context: (n,) for `t2i`, (k,) for `i2t`
    boxes: Array  # (k, 4) x1, y1, x2, y2 in pixels of the image
    size: tuple[int, int]  # width and height of the image in pixels
    score: float  # the similarity of image and sentence


def attention_figure(
    explained: Explained, *, picture: Image.Image | None = None, title: str = "", note: str = ""
) -> Figure:
    """Draw the panels.

    Args:
        explained: what is shown.
        picture: the image, of any resolution with the proportions of `explained.size`; None draws the regions
            on an empty canvas.
        title: above the figure; wrapped as needed.
        note: in smaller type below the title; wrapped as needed.

    Returns:
        A figure for `save_figure`.
    """
    return _AttentionFigure(explained, picture, title, note).figure


class _AttentionFigure:
    """Draws the parts of one figure."""

    def __init__(self, explained: Explained, picture: Image.Image | None, title: str, note: str) -> None:
        self.explained, self.blank = explained, picture is None
        self.layout = Layout(len(explained.words) + 1, explained.size, title, note)
        self.figure = Figure(figsize=self.layout.size, facecolor=PAPER)
        self.pixels = _pixels(picture, explained.size)
        self.heat = Normalize(0.0, max(float(explained.weights.max(initial=0.0)), 1e-6))
        relevance = explained.relevance
        self.bar_ends = min(float(relevance.min()), 0.0), max(float(relevance.max()), _BAR)
        self.draw_title(self.layout.title, 0.1, fontsize=9, color=INK)
        self.draw_title(self.layout.note, self.layout.note_top, fontsize=7, color=FAINT)
        self.draw_regions()
        for number in range(len(explained.words)):
            self.draw_word(number)
        self.draw_scales()

    def draw_title(self, lines: Sequence[str], top: float, **style: Any) -> None:
        x, y = self.layout.margin / self.layout.size[0], 1 - top / self.layout.size[1]
        self.figure.text(x, y, "\n".join(lines), va="top", linespacing=1.25, parse_math=False, **style)

    def draw_regions(self) -> None:
        """The first panel: every region, for i2t in the colour of its relevance."""
        boxes = self.explained.boxes
        axes = self._panel(0, self.pixels)
        axes.set_title(f"{len(boxes)} region{'s' * (len(boxes) > 1)}", fontsize=8, color=FAINT, pad=3)
        colors: list[Any] = ["white"] * len(boxes)
        if self.explained.direction == "i2t":
            colors = list(SCALE(np.clip(self.explained.relevance, 0.0, 1.0)))
            self._label_below(axes, "frame: R of the region")
        for box, color in zip(boxes, colors, strict=True):
            _frame(axes, box, ec=INK, lw=1.7, alpha=0.45)
            _frame(axes, box, ec=color, lw=0.8)

    def draw_word(self, number: int) -> None:
        """The panel of a word: regions by weight, and for t2i its relevance."""
        weights = self.explained.weights[number]
        shares = self.heat(weights)
        axes = self._panel(number + 1, self.pixels if self.blank else self._lit(shares))
        name = self.explained.words[number]
        title = axes.set_title(name, fontsize=9, color=INK, pad=3, weight="bold", parse_math=False)
        fit_width(title, self.layout.panel[0] + 0.08)
        # The strongest region last, so that no other frame covers its own.
        for region in np.argsort(weights, kind="stable").tolist():
            share, box = float(shares[region]), self.explained.boxes[region]
            if self.blank:
                _frame(axes, box, ec=OUTLINE, lw=0.4, alpha=0.6)
                _frame(axes, box, fill=True, fc=SCALE(share), ec="none", alpha=0.15 + 0.75 * share)
            _frame(axes, box, ec=SCALE(share), lw=0.4 + 1.6 * share, alpha=0.35 + 0.65 * share)
        if self.explained.direction == "t2i":
            self._relevance_bar(axes, float(self.explained.relevance[number]))
        else:
            self._label_below(axes, f"strongest {weights.max():.2f}")

    def draw_scales(self) -> None:
        """What colours and bars mean, below the panels."""
        top = self.layout.size[1] - self.layout.scales + 0.12
        left, right = self.layout.margin + 0.04, self.layout.margin + 1.75
        t2i = self.explained.direction == "t2i"
        self._scale(
            left, top, self.heat, f"weight of {'a word on a region' if t2i else 'a region on a word'}"
        )
        if t2i:
            low, high = map(signed, self.bar_ends)
            legend = f"bar: relevance R of a word, its cosine\nwith its context; from {low} to {high}"
            x, y = right / self.layout.size[0], 1 - (top + 0.02) / self.layout.size[1]
            self.figure.text(x, y, legend, fontsize=6.5, color=FAINT, va="center", linespacing=1.3)
        else:
            self._scale(right, top, Normalize(0.0, 1.0), "relevance R of a region")

    def _panel(self, number: int, pixels: Array) -> Axes:
        """Axes in the coordinates of the boxes, with a picture and without ticks."""
        axes = self.layout.axes(self.figure, number)
        width, height = self.explained.size
        axes.imshow(pixels, extent=(0, width, height, 0), interpolation="lanczos", aspect="auto")
        axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def _label_below(self, axes: Axes, text: str) -> None:
        label = axes.set_xlabel(text, fontsize=6.5, color=FAINT, labelpad=2)
        fit_width(label, self.layout.panel[0] + 0.08)

    def _relevance_bar(self, axes: Axes, relevance: float) -> None:
        """A bar below the panel from 0 to the relevance, on a scale all panels share, with the number."""
        low, high = self.bar_ends
        inch = 1 / self.layout.size[1]
        panel = axes.get_position()
        bar = self.figure.add_axes((panel.x0, panel.y0 - 0.135 * inch, panel.width, 0.07 * inch))
        bar.axis("off")
        bar.set(xlim=(0, 1), ylim=(0, 1))
        start = 0.44 / self.layout.panel[0]  # right of the number
        length = (1 - start) / (high - low)  # of R = 1
        zero = start - low * length
        color = RELEVANCE if relevance >= 0 else NEGATIVE
        bar.add_patch(Rectangle((start, 0.15), 1 - start, 0.7, fc="#e6e8ec", ec="none"))
        bar.add_patch(Rectangle((zero, 0.15), relevance * length, 0.7, fc=color, ec="none"))
        if low < 0:
            bar.plot([zero, zero], [-0.15, 1.15], color=INK, lw=0.6, clip_on=False)
        bar.text(0.0, 0.5, f"R {signed(relevance)}", fontsize=7, color=INK, va="center")

    def _scale(self, left: float, top: float, heat: Normalize, label: str) -> None:
        axes = self.layout.box(self.figure, left, top, 1.1, 0.08)
        bar = self.figure.colorbar(ScalarMappable(heat, SCALE), cax=axes, orientation="horizontal")
        bar.set_ticks([0.0, float(heat.vmax or 1.0)], labels=["0", f"{heat.vmax:.2f}"])
        bar.outline.set_visible(False)
        axes.tick_params(labelsize=6.5, length=0, pad=2, colors=INK)
        axes.set_title(label, fontsize=6.5, color=FAINT, pad=2, loc="left")

    def _lit(self, shares: Array) -> Array:
        """The picture, each pixel as bright as the strongest region that covers it."""
        height, width = self.pixels.shape[:2]
        light = np.zeros((height, width), dtype=np.float32)
        stretch = np.array([width / self.explained.size[0], height / self.explained.size[1]] * 2)
        for box, share in zip(self.explained.boxes * stretch, shares, strict=True):
            x1, y1, x2, y2 = np.round(box).astype(int)
            patch = light[max(y1, 0) : y2, max(x1, 0) : x2]
            np.maximum(patch, share, out=patch)
        lit: Array = self.pixels * (DIM + (1 - DIM) * light[:, :, None])
        return lit.astype(np.uint8)


def _pixels(picture: Image.Image | None, size: tuple[int, int]) -> Array:
    """(height, width, 3) uint8, no larger than a panel can show."""
    size = size if picture is None else picture.size
    shrink = min(1.0, _LONGEST / max(size))
    width, height = (max(1, round(side * shrink)) for side in size)
    if picture is None:
        return np.broadcast_to(np.array(CANVAS, dtype=np.uint8), (height, width, 3))
    return np.asarray(picture.convert("RGB").resize((width, height)))


def _frame(axes: Axes, box: Array, **style: Any) -> None:
    x1, y1, x2, y2 = box.tolist()
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **{"fill": False, **style}))
