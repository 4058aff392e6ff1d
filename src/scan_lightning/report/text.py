"""Text inside figures: wrapped and fitted by the font's own measures, numbers as they are printed."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import TextPath

POINTS_PER_INCH = 72.0
_HINTING = 1.04  # on a screen letters snap to pixels, which makes some lines wider than their outline


@cache
def text_width(text: str, points: float, weight: str = "normal") -> float:
    """Width of one line in inches, in the default font."""
    if not text.strip():
        return len(text) * points * 0.3 / POINTS_PER_INCH
    outline = TextPath((0, 0), text.replace("$", r"\$"), size=points, prop=FontProperties(weight=weight))
    return float(outline.get_extents().width) * _HINTING / POINTS_PER_INCH


def wrap(text: str, *, inches: float, points: float) -> list[str]:
    """Breaks a text into lines no wider than `inches`, between words where there are any."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, points) <= inches:
            lines[-1] = joined
        else:
            lines.extend(_broken(word, inches, points))
    return lines


def fit_width(text: Text, inches: float) -> None:
    """Shrinks a label's font until it is no wider than `inches`, and shortens it when that is too small."""
    content, points, weight = text.get_text(), float(text.get_fontsize()), str(text.get_fontweight())
    width = text_width(content, points, weight)
    if width > inches:
        points = max(points * inches / width, 5.0)
        text.set_fontsize(points)
    while len(content) > 1 and text_width(content, points, weight) > inches:
        content = content.removesuffix("…")[:-1] + "…"
        text.set_text(content)


def signed(value: float) -> str:
    """A number with two decimals and a real minus sign."""
    return f"{value:z.2f}".replace("-", "\N{MINUS SIGN}")


def _broken(word: str, inches: float, points: float) -> list[str]:
    """A word in pieces that fit; mostly one."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_width(pieces[-1] + letter, points) > inches:
            pieces.append("")
        pieces[-1] += letter
    return pieces
