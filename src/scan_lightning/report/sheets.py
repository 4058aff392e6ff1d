"""Retrieval sheets: a sentence and the pictures a model finds for it, the right one framed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from scan_lightning.report.overlay import FAINT, INK, PAPER
from scan_lightning.report.text import signed, wrap

RIGHT = "#009e73"
_WIDTH, _MARGIN, _GAP = 7.2, 0.14, 0.14  # inches
_FRAME = 0.045  # inches around the right picture


@dataclass(frozen=True)
class Found:
    """A picture of the answer.

    Attributes:
        picture: As the user knows it.
        score: Similarity to the sentence.
        right: Whether it is the sentence's own.
    """

    picture: Image.Image
    score: float
    right: bool


def retrieval_sheet(sentence: str, found: Sequence[Found], *, rank: int, total: int) -> Figure:
    """Draws a sentence and the best pictures for it, best first.

    Args:
        sentence: The query.
        found: The answer, at least one picture.
        rank: Of the right picture, from 1; said in words, as it may not be among those shown.
        total: How many pictures were searched.

    Returns:
        A figure for `save_figure`.
    """
    side = (_WIDTH - 2 * _MARGIN - _GAP * (len(found) - 1)) / len(found)
    tallest = min(max(item.picture.height / item.picture.width for item in found), 1.4) * side
    lines = wrap(f"“{sentence}”", inches=_WIDTH - 2 * _MARGIN, points=11)
    header = 0.16 + 0.2 * len(lines) + 0.26
    height = header + tallest + 0.34
    figure = Figure(figsize=(_WIDTH, height), facecolor=PAPER)
    left, top = _MARGIN / _WIDTH, 1 - 0.12 / height
    query = "\n".join(lines)
    figure.text(left, top, query, fontsize=11, color=INK, va="top", linespacing=1.25, parse_math=False)
    verdict = f"the right picture is number {rank} of {total:,}"
    below = 1 - (0.12 + 0.2 * len(lines) + 0.06) / height
    figure.text(left, below, verdict, fontsize=8, color=RIGHT if rank == 1 else FAINT, va="top")
    for number, item in enumerate(found):
        # Of one height band: each picture as large as its proportions allow, centred.
        scale = min(side / item.picture.width, tallest / item.picture.height)
        wide, high = item.picture.width * scale, item.picture.height * scale
        x = _MARGIN + number * (side + _GAP) + (side - wide) / 2
        y = 0.34 + (tallest - high) / 2
        if item.right:
            figure.add_artist(_frame(x, y, wide, high, height))
        axes = figure.add_axes((x / _WIDTH, y / height, wide / _WIDTH, high / height))
        axes.imshow(item.picture.convert("RGB"), interpolation="lanczos", aspect="auto")
        axes.axis("off")
        centre = (_MARGIN + number * (side + _GAP) + side / 2) / _WIDTH
        label = f"{number + 1}   {signed(item.score)}" + ("   right" if item.right else "")
        color, weight = (RIGHT, "bold") if item.right else (INK, "normal")
        place = (centre, 0.24 / height)
        figure.text(*place, label, fontsize=8, ha="center", va="top", color=color, weight=weight)
    return figure


def _frame(x: float, y: float, wide: float, high: float, height: float) -> Rectangle:
    corner = ((x - _FRAME) / _WIDTH, (y - _FRAME) / height)
    return Rectangle(
        corner, (wide + 2 * _FRAME) / _WIDTH, (high + 2 * _FRAME) / height, fc=RIGHT, ec="none", zorder=-1
    )
