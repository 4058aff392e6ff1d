"""The comparison of two runs as a table, as files and as a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from scan_lightning.files import atomic_file, writing
from scan_lightning.retrieval.compare import Change, Comparison
from scan_lightning.retrieval.statistics import FIGURES, LEVEL

NAMES = {"i2t": "image-to-text", "t2i": "text-to-image"}
BETTER, WORSE, SAME = "#0072b2", "#d55e00", "#7f7f7f"  # told apart by the colour-blind too
LABEL = 58  # characters of a caption beside its ranks


def figures_table(a: str, b: str, comparison: Comparison) -> Table:
    """Return the recalls of both runs and their paired difference."""
    table = Table(title="paired difference", caption=f"{_percent()} bootstrap interval over queries")
    for name in ("", a, b, "difference", "interval"):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for row in _rows(comparison):
        style = "bold" if row["low"] > 0 or row["high"] < 0 else ""
        table.add_row(
            _figure_name(row["figure"]),
            f"{row['a']:.1f}",
            f"{row['b']:.1f}",
            f"{row['difference']:+.1f}",
            f"{row['low']:+.1f} to {row['high']:+.1f}",
            style=style,
        )
    return table


def changes_table(comparison: Comparison, count: int) -> Table:
    """Return the queries whose rank changed by the largest factor."""
    table = Table(
        title=f"the {count} queries that changed most", caption="rank of the best right item, 1 is best"
    )
    table.add_column("query")
    table.add_column("image", overflow="fold")
    table.add_column("caption", overflow="fold")
    table.add_column("rank", justify="right", no_wrap=True)
    for change in _changed(comparison, count):
        query = "caption" if change.direction == "t2i" else "image"
        table.add_row(query, change.image, change.caption, f"{change.rank_a} → {change.rank_b}")
    return table


def counts_line(comparison: Comparison, direction: str) -> str:
    """Say how many queries of a direction moved which way."""
    better, same, worse = comparison.counts(direction)
    return f"{NAMES[direction]}: {better} queries better, {same} the same, {worse} worse"


def write_comparison(folder: Path, a: str, b: str, comparison: Comparison, count: int) -> list[Path]:
    """Write compare.json and compare.csv (figures), queries.csv (every query), compare.png; return them.

    Args:
        folder: made when it is not there.
        a: what the first run is called.
        b: what the second run is called.
        comparison: of the two.
        count: how many queries the picture and the JSON show.

    Raises:
        ScanError: a file cannot be written.
    """
    paths = [folder / name for name in ("compare.json", "compare.csv", "queries.csv", "compare.png")]
    moved = {
        direction: dict(zip(("better", "same", "worse"), comparison.counts(direction), strict=True))
        for direction in NAMES
    }
    content = {
        "a": a,
        "b": b,
        "level": LEVEL,
        "figures": {row.pop("figure"): row for row in _rows(comparison)},
        "queries": moved,
        "changed_most": [asdict(change) for change in _changed(comparison, count)],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    writers: list[Callable[[Path], object]] = [
        lambda path: path.write_text(text, encoding="utf-8"),
        lambda path: _write_csv(path, _rows(comparison)),
        lambda path: _write_csv(path, [asdict(change) for change in comparison.changes]),
        lambda path: draw(path, a, b, comparison, count),
    ]
    for path, write in zip(paths, writers, strict=True):
        with atomic_file(path) as partial, writing(path):
            write(partial)
    return paths


def draw(path: Path, a: str, b: str, comparison: Comparison, count: int) -> None:
    """Draw the differences with their intervals and, below, the ranks of the queries that changed most."""
    changes = _changed(comparison, count)
    heights = (2.6, 0.9 + 0.3 * max(1, len(changes)))
    figure = Figure(figsize=(9, sum(heights) + 1.0), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=heights)
    total = _rows(comparison)[-1]
    change = f"rsum {total['difference']:+.1f} ({total['low']:+.1f} to {total['high']:+.1f})"
    figure.suptitle(f"{b} against {a}: {change}", fontsize=11)
    _draw_differences(above, comparison)
    _draw_changes(below, changes)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, format="png", dpi=150)


def _draw_differences(axes: Axes, comparison: Comparison) -> None:
    rows = _rows(comparison)[:-1]  # the sum of all would need a scale of its own
    for place, row in enumerate(rows):
        color = BETTER if row["low"] > 0 else WORSE if row["high"] < 0 else SAME
        axes.plot([row["low"], row["high"]], [place, place], color=color, lw=2.5, solid_capstyle="round")
        axes.plot(row["difference"], place, "o", color=color, ms=7)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), [_figure_name(row["figure"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"difference, points of percent ({_percent()} interval)")
    _bare(axes)


def _draw_changes(axes: Axes, changes: list[Change]) -> None:
    for place, change in enumerate(changes):
        color = BETTER if change.octaves > 0 else WORSE
        axes.annotate(
            "",
            (change.rank_b, place),
            (change.rank_a, place),
            arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.8, "shrinkA": 0, "shrinkB": 0},
        )
        axes.plot(change.rank_a, place, "o", color=color, ms=5, mfc="white")
    axes.set_xscale("log")
    highest = max((max(change.rank_a, change.rank_b) for change in changes), default=1)
    axes.set_xlim(0.8, max(10, highest) * 1.25)
    axes.set_ylim(-0.7, max(0, len(changes) - 1) + 0.7)
    axes.set_yticks(range(len(changes)), [_query_name(change) for change in changes], fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%d"))
    axes.set_xlabel("rank from the first run (ring) to the second (1 is best)")
    if not changes:
        axes.text(0.5, 0.5, "no query changed its rank", transform=axes.transAxes, ha="center", va="center")
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    columns = {
        "a": comparison.figures_a,
        "b": comparison.figures_b,
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
    }
    return [
        {"figure": name, **{key: float(values[i]) for key, values in columns.items()}}
        for i, name in enumerate(FIGURES)
    ]


def _changed(comparison: Comparison, count: int) -> list[Change]:
    return [change for change in comparison.changes[:count] if change.octaves]


def _figure_name(name: str) -> str:
    direction, _, recall = name.partition("/")
    return f"{NAMES[direction]} R@{recall[1:]}" if recall else name


def _query_name(change: Change) -> str:
    if change.direction == "i2t":
        return f"image {change.image}"[:LABEL]
    text = change.caption
    # A caption may hold "$", which matplotlib would read as mathematics.
    return (text if len(text) <= LABEL else text[: LABEL - 1] + "…").replace("$", r"\$")


def _percent() -> str:
    return f"{100 * LEVEL:.0f} %"


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
