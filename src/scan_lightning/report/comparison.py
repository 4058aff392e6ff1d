"""The comparison of two runs as tables, as files and as a picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter
from rich.table import Table

from scan_lightning.files import write_text
from scan_lightning.report.figure_files import save_figure
from scan_lightning.report.tables import csv_text, text_table
from scan_lightning.retrieval.paired import Change, Comparison
from scan_lightning.retrieval.statistics import FIGURES, LEVEL

NAMES = {"i2t": "image-to-text", "t2i": "text-to-image"}
BETTER, WORSE, SAME = "#0072b2", "#d55e00", "#7f7f7f"  # told apart by the colour-blind
LABEL = 58  # characters of a caption beside its ranks
PERCENT = f"{100 * LEVEL:.0f} %"


def figures_table(a: str, b: str, comparison: Comparison) -> Table:
    """Return the recalls of both runs and their paired difference."""
    rows = _rows(comparison)
    return text_table(
        ["", a, b, "difference", "interval"],
        [
            [
                _figure_name(row["figure"]),
                f"{row['a']:.1f}",
                f"{row['b']:.1f}",
                f"{row['difference']:+.1f}",
                f"{row['low']:+.1f} to {row['high']:+.1f}",
            ]
            for row in rows
        ],
        title="paired difference",
        caption=f"{PERCENT} bootstrap interval over queries",
        bold=[number for number, row in enumerate(rows) if row["low"] > 0 or row["high"] < 0],
    )


def changes_table(comparison: Comparison, count: int) -> Table:
    """Return the queries whose rank changed by the largest factor."""
    queries = {"t2i": "caption", "i2t": "image"}
    return text_table(
        ["query", "image", "caption", "rank"],
        [
            [queries[change.direction], change.image, change.caption, f"{change.rank_a} → {change.rank_b}"]
            for change in _changed(comparison, count)
        ],
        title=f"the {count} queries that changed most",
        caption="rank of the best right item, 1 is best",
        left=3,
    )


def counts_line(comparison: Comparison, direction: str) -> str:
    """Return how many queries of a direction became better, stayed the same and became worse."""
    better, same, worse = comparison.counts(direction)
    return f"{NAMES[direction]}: {better} queries better, {same} the same, {worse} worse"


def write_comparison(folder: Path, a: str, b: str, comparison: Comparison, count: int) -> list[Path]:
    """Write compare.json and compare.csv (figures), queries.csv (every query), compare.png; return them.

    The picture and the JSON show at most `count` queries.

    Raises:
        ScanError: a file cannot be written.
    """
    content = {
        "a": a,
        "b": b,
        "level": LEVEL,
        "figures": {row.pop("figure"): row for row in _rows(comparison)},
        "queries": {
            direction: dict(zip(("better", "same", "worse"), comparison.counts(direction), strict=True))
            for direction in NAMES
        },
        "changed_most": [asdict(change) for change in _changed(comparison, count)],
    }
    texts = {
        folder / "compare.json": json.dumps(content, indent=2, ensure_ascii=False) + "\n",
        folder / "compare.csv": csv_text(_rows(comparison)),
        folder / "queries.csv": csv_text([asdict(change) for change in comparison.changes]),
    }
    for path, text in texts.items():
        write_text(path, text)
    return [*texts, *save_figure(_figure(a, b, comparison, count), folder / "compare", kinds=("png",))]


def _figure(a: str, b: str, comparison: Comparison, count: int) -> Figure:
    """The differences with their intervals and, below, the ranks of the queries that changed most."""
    changes = _changed(comparison, count)
    heights = (2.6, 0.9 + 0.3 * max(1, len(changes)))
    figure = Figure(figsize=(9, sum(heights) + 1.0), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=heights)
    total = _rows(comparison)[-1]
    change = f"rsum {total['difference']:+.1f} ({total['low']:+.1f} to {total['high']:+.1f})"
    figure.suptitle(f"{b} against {a}: {change}", fontsize=11)
    _draw_differences(above, comparison)
    _draw_changes(below, changes)
    return figure


def _draw_differences(axes: Axes, comparison: Comparison) -> None:
    rows = _rows(comparison)[:-1]  # the sum of all would need a scale of its own
    for place, row in enumerate(rows):
        color = BETTER if row["low"] > 0 else WORSE if row["high"] < 0 else SAME
        axes.plot([row["low"], row["high"]], [place, place], color=color, lw=2.5, solid_capstyle="round")
        axes.plot(row["difference"], place, "o", color=color, ms=7)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), [_figure_name(row["figure"]) for row in rows])
    axes.set_xlabel(f"difference, percentage points ({PERCENT} interval)")
    _style(axes)


def _draw_changes(axes: Axes, changes: list[Change]) -> None:
    for place, change in enumerate(changes):
        color = BETTER if change.octaves > 0 else WORSE
        arrow = {"arrowstyle": "-|>", "color": color, "lw": 1.8, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (change.rank_b, place), (change.rank_a, place), arrowprops=arrow)
        axes.plot(change.rank_a, place, "o", color=color, ms=5, mfc="white")
    highest = max((max(change.rank_a, change.rank_b) for change in changes), default=1)
    axes.set(xscale="log", xlim=(0.8, max(10, highest) * 1.25), ylim=(-0.7, max(1, len(changes)) - 0.3))
    axes.set_yticks(range(len(changes)), [_query_name(change) for change in changes], fontsize=8)
    axes.xaxis.set_major_formatter(FormatStrFormatter("%d"))
    axes.set_xlabel("rank, from the first run (circle) to the second (1 is best)")
    if not changes:
        axes.text(0.5, 0.5, "no query changed its rank", transform=axes.transAxes, ha="center", va="center")
    _style(axes)


def _style(axes: Axes) -> None:
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The figures of both runs, a row each, with the paired difference and its interval."""
    columns = (
        comparison.figures_a,
        comparison.figures_b,
        comparison.difference,
        comparison.low,
        comparison.high,
    )
    names = ("figure", "a", "b", "difference", "low", "high")
    values = zip(FIGURES, *(column.tolist() for column in columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in values]


def _changed(comparison: Comparison, count: int) -> list[Change]:
    return [change for change in comparison.changes[:count] if change.octaves]


def _figure_name(name: str) -> str:
    direction, _, recall = name.partition("/")
    return f"{NAMES[direction]} R@{recall[1:]}" if recall else name


def _query_name(change: Change) -> str:
    text = f"image {change.image}" if change.direction == "i2t" else change.caption
    # A caption may hold "$", which matplotlib would read as mathematics.
    return (text if len(text) <= LABEL else text[: LABEL - 1] + "…").replace("$", r"\$")
