"""The table as a picture: each row's recalls beside the expected ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scan_lightning.report.figure_files import save_figure
from scan_lightning.reproduce.collected import Line
from scan_lightning.reproduce.paper_tables import Table

OURS, EXPECTED = "#0072b2", "#d55e00"  # told apart by the colour-blind too, and by shape
PANELS = ("image-to-text R@1", "text-to-image R@1", "rsum")
LEAST_WIDTH = (10.0, 10.0, 40.0)  # of an axis in points: a few tenths shall not look like much


def draw(table: Table, lines: Sequence[Line], stem: Path) -> None:
    """Write `STEM.png`: a row of panels for each protocol; a model not run shows the expected figure only."""
    groups = [
        [line for line in lines if line.protocol == protocol and (line.runs or line.expected)]
        for protocol in table.folds
    ]
    heights = [max(2, len(group)) for group in groups]
    figure = Figure(figsize=(11, 1.2 + 0.42 * sum(heights) + 0.9 * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(groups), len(PANELS), squeeze=False, height_ratios=heights)
    for axes, protocol, group in zip(grid, table.folds, groups, strict=True):
        for number, axis in enumerate(axes):
            _panel(axis, group, number)
        axes[0].set_yticks(range(len(group)), [line.name for line in group])
        axes[0].set_ylabel(protocol)
    ours = grid[0][0].plot([], [], "o", color=OURS)
    expected = grid[0][0].plot([], [], "D", color=EXPECTED, fillstyle="none")
    labels = ["ours, a seed each", f"expected: {table.reference}"]
    figure.legend([*ours, *expected], labels, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(table.title + (" (dry run, generated data)" if table.dry else ""), x=0.01, ha="left")
    save_figure(figure, stem, kinds=["png"])


def _panel(axis: Axes, lines: Sequence[Line], number: int) -> None:
    for height, line in enumerate(lines):
        points = [(run.recalls, "o", OURS, "full") for run in line.runs]
        for recalls, marker, colour, fill in (*points, (line.expected, "D", EXPECTED, "none")):
            if recalls is not None:
                value = (recalls.i2t[0], recalls.t2i[0], recalls.rsum)[number]
                axis.plot(value, height, marker, color=colour, fillstyle=fill, markersize=7, alpha=0.8)
    axis.margins(x=0.12)
    low, high = axis.get_xlim()
    margin = max(0.0, LEAST_WIDTH[number] - (high - low)) / 2
    axis.set_xlim(low - margin, high + margin)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.set_yticks(range(len(lines)), [])
    axis.set_title(PANELS[number], fontsize=10)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(length=0)
