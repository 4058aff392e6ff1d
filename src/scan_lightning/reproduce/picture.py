"""The table as a picture: each row's recalls beside the expected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scan_lightning.reproduce.published import Recalls
from scan_lightning.reproduce.results import Line
from scan_lightning.reproduce.tables import Table

OURS, EXPECTED = "#0072b2", "#d55e00"  # told apart by the colour-blind too, and by shape
# Title, figure, and the least width of the axis in points: a few tenths shall not look like much.
PANELS: tuple[tuple[str, Callable[[Recalls], float], float], ...] = (
    ("image-to-text R@1", lambda recalls: recalls.i2t[0], 10.0),
    ("text-to-image R@1", lambda recalls: recalls.t2i[0], 10.0),
    ("rsum", lambda recalls: recalls.rsum, 40.0),
)


def draw(table: Table, lines: Sequence[Line], path: Path) -> None:
    """Write the picture: a row of panels for each protocol; a model not run shows the expected figure only.

    Args:
        table: what it is.
        lines: from `results.collect`.
        path: PNG to write.
    """
    protocols = [
        (protocol, [line for line in lines if line.protocol == protocol and (line.runs or line.expected)])
        for protocol in table.protocols
    ]
    heights = [max(2, len(shown)) for _, shown in protocols]
    figure = Figure(figsize=(11, 1.2 + 0.42 * sum(heights) + 0.9 * len(protocols)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(protocols), len(PANELS), squeeze=False, height_ratios=heights)
    for axes, (protocol, shown) in zip(grid, protocols, strict=True):
        for number, (axis, (title, value, width)) in enumerate(zip(axes, PANELS, strict=True)):
            _panel(axis, shown, value)
            low, high = axis.get_xlim()
            margin = max(0.0, width - (high - low)) / 2
            axis.set_xlim(low - margin, high + margin)
            axis.set_title(title, fontsize=10)
            if number == 0:
                axis.set_yticks(range(len(shown)), [line.name for line in shown])
                axis.set_ylabel(protocol.name)
            else:
                axis.set_yticks(range(len(shown)), [])
    handles, labels = grid[0][0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    named = {
        ("expected: " + table.reference if key == "expected" else key): item for key, item in named.items()
    }
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(table.title + (" (dry run, generated data)" if table.dry else ""), x=0.01, ha="left")
    figure.savefig(path, dpi=150)


def _panel(axis: Axes, lines: Sequence[Line], value: Callable[[Recalls], float]) -> None:
    for position, line in enumerate(lines):
        if line.expected is not None:
            axis.plot(
                value(line.expected),
                position,
                "D",
                color=EXPECTED,
                markersize=8,
                fillstyle="none",
                label="expected",
            )
        for run in line.runs:
            axis.plot(
                value(run.recalls),
                position,
                "o",
                color=OURS,
                markersize=6,
                alpha=0.8,
                label="ours, a seed each",
            )
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.margins(x=0.12)
    axis.grid(axis="both", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(length=0)
