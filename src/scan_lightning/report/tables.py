"""Tables for the terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

RECALLS = (("r1", "R@1"), ("r5", "R@5"), ("r10", "R@10"))
COLUMNS = (*RECALLS, ("medr", "median rank"), ("meanr", "mean rank"))
DIRECTIONS = (("i2t", "image to text"), ("t2i", "text to image"))


def text_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str,
    caption: str = "",
    left: int = 1,
    bold: Iterable[int] = (),
) -> Table:
    """Return a table to print with rich: the first `left` columns hold text, the others numbers."""
    table = Table(title=title, caption=caption or None, title_justify="left", caption_justify="left")
    for number, heading in enumerate(headings):
        justify = "left" if number < left else "right"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=number >= left or None)  # type: ignore[arg-type]
    emphasised = set(bold)
    for number, row in enumerate(rows):
        table.add_row(*row, style="bold" if number in emphasised else "")
    return table


def recall_table(results: Mapping[str, Any]) -> Table:
    """Lay out the content of a results.json, a row for each direction."""
    return text_table(
        ["query", *(heading for _, heading in COLUMNS)],
        [[name, *(f"{results[key][column]:.1f}" for column, _ in COLUMNS)] for key, name in DIRECTIONS],
        title=f"{results['split']}: {results['images']} images, {results['captions']} captions",
        caption=f"rsum {results['rsum']:.1f}",
    )


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV under the names of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
