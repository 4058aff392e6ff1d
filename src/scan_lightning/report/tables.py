"""Recall figures as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

COLUMNS = (("r1", "R@1"), ("r5", "R@5"), ("r10", "R@10"), ("medr", "median rank"), ("meanr", "mean rank"))
ROWS = (("i2t", "image to text"), ("t2i", "text to image"))


def recall_table(results: Mapping[str, Any]) -> Table:
    """Lay out the content of a results.json, a row for each way of retrieval.

    Args:
        results: with `split`, `images`, `captions`, `i2t`, `t2i`, `rsum`; recalls in percent, ranks 1-based.

    Returns:
        A table to print with rich.
    """
    table = Table(
        title=f"{results['split']}: {results['images']} images, {results['captions']} captions",
        caption=f"rsum {results['rsum']:.1f}",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("query")
    for _, heading in COLUMNS:
        table.add_column(heading, justify="right")
    for key, name in ROWS:
        table.add_row(name, *(f"{results[key][column]:.1f}" for column, _ in COLUMNS))
    return table
