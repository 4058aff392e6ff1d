"""The picture of the sweep study: a heat map for each direction, and the line of smoothings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from scan_lightning.reproduce.smoothing import Point

COLOURS = "cividis"  # even in lightness, and the same to the colour-blind
LINE = "#0072b2"


def draw(points: Sequence[Point], path: Path) -> None:
    """Write the picture.

    Args:
        points: runs of the sweeps `grid` and `line`.
        path: PNG to write.
    """
    grid = [point for point in points if point.sweep == "grid"]
    sums = [point.rsum for point in grid]
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    for axis, direction, name in zip(
        axes, ("t2i", "i2t"), ("words ask (t2i)", "regions ask (i2t)"), strict=False
    ):
        _heat_map(axis, [point for point in grid if point.direction == direction], min(sums), max(sums))
        axis.set_title(name, fontsize=10)
    _line(axes[2], [point for point in points if point.sweep == "line"])
    figure.suptitle("Recall sum on validation scenes, by the smoothing of the attention", x=0.01, ha="left")
    figure.savefig(path, dpi=150)


def _heat_map(axis: Axes, points: Sequence[Point], low: float, high: float) -> None:
    columns = sorted({point.smoothing for point in points})
    rows = sorted({point.aggregation for point in points})
    values = {(point.aggregation, point.smoothing): point.rsum for point in points}
    axis.imshow(
        [[values.get((row, column), float("nan")) for column in columns] for row in rows],
        cmap=COLOURS,
        vmin=low,
        vmax=high,
        aspect="auto",
    )
    for (row, column), value in values.items():
        dark = value < (low + high) / 2
        place = columns.index(column), rows.index(row)
        axis.text(*place, f"{value:.0f}", ha="center", va="center", color="white" if dark else "black")
    axis.set_xticks(range(len(columns)), [f"{column:g}" for column in columns])
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xlabel("smoothing")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _line(axis: Axes, points: Sequence[Point]) -> None:
    axis.plot([point.smoothing for point in points], [point.rsum for point in points], "o-", color=LINE)
    axis.set_xscale("log")
    axis.set_xticks([point.smoothing for point in points], [f"{point.smoothing:g}" for point in points])
    axis.minorticks_off()
    axis.set_xlabel("smoothing")
    axis.set_title("t2i, mean", fontsize=10)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.margins(y=0.15)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
