"""Where the parts of an attention picture lie, in inches from the upper left corner."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scan_lightning.report.text import wrap

_PANEL = 1.29  # inches, the longer side of a picture
_NARROWEST = 0.75  # inches: a slim picture is drawn higher, so that labels below it have room
_LEAST = 3.75  # inches: what the scales below the panels take
_WIDTH = 7.2  # inches: two columns of a journal, a page of a report


class Layout:
    """A grid of panels of one size below a title, and room for the scales under it.

    Args:
        panels: How many.
        size: Width and height of the picture in each, in pixels.
        title: Above them, wrapped.
        note: In smaller type below the title, wrapped.
    """

    margin, gap, header, footer, scales = 0.12, 0.12, 0.2, 0.22, 0.44

    def __init__(self, panels: int, size: tuple[int, int], title: str, note: str = "") -> None:
        width, height = size
        scale = max(_PANEL / max(width, height), min(_NARROWEST / width, 2 * _PANEL / height))
        panel = self.panel = (width * scale, height * scale)
        fitting = max(1, int((_WIDTH - 2 * self.margin + self.gap) / (panel[0] + self.gap)))
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
        """The axes of a panel, counted row by row."""
        row, column = divmod(number, self.columns)
        left = self.margin + column * (self.panel[0] + self.gap)
        top = self.top + row * self.row + self.header
        return self.box(figure, left, top, *self.panel)

    def box(self, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at a place of the figure."""
        x, y = self.size
        return figure.add_axes((left / x, 1 - (top + height) / y, width / x, height / y))
