"""The training curve of a run: loss and validation recall against optimizer steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from scan_lightning.errors import ScanError

LOSS, RECALL, FAINT = "#0072b2", "#d55e00", "#9ec5de"  # told apart by the colour-blind
INK, GRID = "#1a1c20", "#e3e5e9"
FRAME = "#a5a9b1"
_SMOOTHING = 0.8  # of the running mean drawn over the single steps

Points = list[tuple[int, float]]  # step, value


@dataclass(frozen=True)
class Curves:
    """The series of a metrics.csv that are drawn.

    Attributes:
        losses: A point every optimizer step: the loss, summed over the batch.
        recalls: A point every validation: the recall sum.
    """

    losses: Points
    recalls: Points


def read_curves(metrics: Path) -> Curves:
    """Reads a metrics.csv.

    Args:
        metrics: The file a training run writes.

    Raises:
        ScanError: There is no such file, it is damaged, or it holds no training step.
    """
    try:
        with metrics.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        losses = [(int(row["step"]), float(row["train/loss"])) for row in rows if row.get("train/loss")]
        recalls = [(int(row["step"]), float(row["val/rsum"])) for row in rows if row.get("val/rsum")]
    except OSError as error:
        raise ScanError(
            f"{metrics}: cannot be read ({error.strerror}); expected a run's metrics.csv"
        ) from error
    except (KeyError, ValueError) as error:
        raise ScanError(
            f"{metrics}: is damaged ({error}); expected a metrics.csv as training writes it"
        ) from error
    if not losses:
        raise ScanError(f"{metrics}: holds no training step; expected the metrics.csv of a training run")
    return Curves(losses, recalls)


def training_curve(metrics: Path, *, warmup_steps: int = 0) -> Figure:
    """Draws the series of a metrics.csv, one above the other.

    Args:
        metrics: The file a training run writes.
        warmup_steps: How many first steps took all negatives; where they end is marked.

    Returns:
        A figure of the loss (logarithmic: the sum over all negatives stands far above the rest) and of the
        recall sum on validation.

    Raises:
        ScanError: As `read_curves`.
    """
    curves = read_curves(metrics)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(*_columns(curves.losses), color=FAINT, linewidth=0.8)
    # Smoothed apart: a mean across the change of the loss would show a descent that was not there.
    for part in _parted(curves.losses, warmup_steps):
        above.plot(*_columns(running_mean(part)), color=LOSS, linewidth=1.8)
    above.set_yscale("log")
    above.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    above.yaxis.set_major_formatter(ScalarFormatter())
    above.yaxis.set_minor_formatter(NullFormatter())
    if _parted(curves.losses, warmup_steps)[0] != curves.losses:
        _mark(above, warmup_steps + 0.5, "all negatives", "hardest negatives")
    _style(above, "loss, summed over the batch")
    below.set_ylim(0, 600)
    below.set_yticks(range(0, 601, 100))
    if curves.recalls:
        below.plot(*_columns(curves.recalls), color=RECALL, marker="o", markersize=4, linewidth=1.8)
        best = max(curves.recalls, key=lambda point: point[1])
        offset = -13 if best[1] > 500 else 7
        note = f"best {best[1]:.1f}"
        below.annotate(note, best, (0, offset), textcoords="offset points", ha="right", color=INK, fontsize=8)
    _style(below, "recall sum on validation (600 at best)")
    below.set_xlabel("optimizer step", fontsize=9, color=INK)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def running_mean(points: Points) -> Points:
    """The exponential mean of the logarithms, corrected for its start; not positive values are left out."""
    mean, weight, smooth = 0.0, 0.0, []
    for step, value in points:
        if value > 0:
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * math.log(value)
            weight = _SMOOTHING * weight + (1 - _SMOOTHING)
            smooth.append((step, math.exp(mean / weight)))
    return smooth


def _parted(points: Points, warmup_steps: int) -> list[Points]:
    """The points up to a step and those after it, without an empty part."""
    parts = [
        [point for point in points if point[0] <= warmup_steps],
        [point for point in points if point[0] > warmup_steps],
    ]
    return [part for part in parts if part]


def _mark(axes: Axes, place: float, before: str, after: str) -> None:
    """A line across, and on each side of it what holds there."""
    axes.axvline(place, color=FRAME, linewidth=0.8, linestyle=(0, (3, 3)))
    for name, shift, side in ((before, -5, "right"), (after, 5, "left")):
        axes.annotate(
            name,
            (place, 1.0),
            (shift, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=8,
            color=INK,
        )


def _columns(points: Points) -> tuple[Sequence[float], Sequence[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(which="both", labelsize=8, colors=INK, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(FRAME)
