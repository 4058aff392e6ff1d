"""Where the parts of a figure lie, and text that fits: measured by the font, in inches."""

from __future__ import annotations

from functools import cache

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import TextPath

WIDTH = 7.2  # two columns of a journal, a page of a report
_POINTS_PER_INCH = 72.0
_HINTING = 1.04  # on a screen letters snap to pixels, which makes some lines wider than their outline
_PANEL = 1.29  # the longer side of a picture
_NARROWEST = 0.75  # a slim picture is drawn higher, so that labels below it have room
_LEAST = 3.75  # what the scales below the panels take


class Layout:
    """A grid of panels of one size (pixels), with a title and a note above and colour scales below."""

    margin, gap, header, footer, scales = 0.12, 0.12, 0.2, 0.22, 0.44

    def __init__(self, panels: int, size: tuple[int, int], title: str, note: str = "") -> None:
        width, height = size
        scale = max(_PANEL / max(width, height), min(_NARROWEST / width, 2 * _PANEL / height))
        panel = self.panel = (width * scale, height * scale)
        fitting = max(1, int((WIDTH - 2 * self.margin + self.gap) / (panel[0] + self.gap)))
        rows = -(-panels // fitting)
        self.columns = -(-panels // rows)  # rows of about the same length
        across = max(2 * self.margin + self.columns * (panel[0] + self.gap) - self.gap, _LEAST)
        self.title = wrap(title, inches=across - 2 * self.margin, points=9)
        self.note = wrap(note, inches=across - 2 * self.margin, points=7)
        self.note_top = 0.1 + len(self.title) * 0.17
        self.top = 0.08 + len(self.title) * 0.17 + len(self.note) * 0.14 + (0.06 if title or note else 0.0)
        self.row = self.header + panel[1] + self.footer
        self.size = (across, self.top + rows * self.row + self.scales)

    def axes(self, figure: Figure, number: int) -> Axes:
        """Return the axes of a panel, counted row by row."""
        row, column = divmod(number, self.columns)
        left = self.margin + column * (self.panel[0] + self.gap)
        top = self.top + row * self.row + self.header
        return self.box(figure, left, top, *self.panel)

    def box(self, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes at a place of the figure."""
        x, y = self.size
        return figure.add_axes((left / x, 1 - (top + height) / y, width / x, height / y))


@cache
def text_width(text: str, points: float, weight: str = "normal") -> float:
    """Return the width of one line in inches, in the default font."""
    if not text.strip():
        return len(text) * points * 0.3 / _POINTS_PER_INCH
    outline = TextPath((0, 0), text.replace("$", r"\$"), size=points, prop=FontProperties(weight=weight))
    return float(outline.get_extents().width) * _HINTING / _POINTS_PER_INCH


def wrap(text: str, *, inches: float, points: float) -> list[str]:
    """Break a text into lines no wider than `inches`, between words where possible."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, points) <= inches:
            lines[-1] = joined
        else:
            lines.extend(_broken(word, inches, points))
    return lines


def fit_width(text: Text, inches: float) -> None:
    """Shrink a label's font to fit `inches`; below 5 points shorten the text instead."""
    content, points, weight = text.get_text(), float(text.get_fontsize()), str(text.get_fontweight())
    width = text_width(content, points, weight)
    if width > inches:
        points = max(points * inches / width, 5.0)
        text.set_fontsize(points)
    while len(content) > 1 and text_width(content, points, weight) > inches:
        content = content.removesuffix("…")[:-1] + "…"
        text.set_text(content)


def signed(value: float) -> str:
    """Return a number with two decimals and a typographic minus sign."""
    return f"{value:z.2f}".replace("-", "\N{MINUS SIGN}")


def _broken(word: str, inches: float, points: float) -> list[str]:
    """Cut a word into pieces that fit."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_width(pieces[-1] + letter, points) > inches:
            pieces.append("")
        pieces[-1] += letter
    return pieces
