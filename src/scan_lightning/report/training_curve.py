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
INK, GRID, FRAME = "#1a1c20", "#e3e5e9", "#a5a9b1"
_SMOOTHING = 0.8  # of the running mean drawn over the single steps

Points = list[tuple[int, float]]  # step, value


@dataclass(frozen=True)
class Curves:
    """The series of a metrics.csv that are drawn."""

    losses: Points  # a point every optimizer step: the loss, summed over the batch
    recalls: Points  # a point every validation: the recall sum


def read_curves(metrics: Path) -> Curves:
    """Read the metrics.csv of a training run.

    Raises:
        ScanError: there is no such file, it is damaged, or it holds no training step.
    """
    try:
        with metrics.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        losses, recalls = (
            [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
            for name in ("train/loss", "val/rsum")
        )
    except OSError as error:
        message = f"{metrics}: cannot be read ({error.strerror}); expected a run's metrics.csv"
        raise ScanError(message) from error
    except (KeyError, ValueError) as error:
        raise ScanError(
            f"{metrics}: is damaged ({error}); expected a metrics.csv of a training run"
        ) from error
    if not losses:
        raise ScanError(f"{metrics}: holds no training step; expected the metrics.csv of a training run")
    return Curves(losses, recalls)


def training_curve(metrics: Path, *, warmup_steps: int = 0) -> Figure:
    """Draw the loss and the validation recall of a metrics.csv; the end of `warmup_steps` is marked."""
    curves = read_curves(metrics)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(*_columns(curves.losses), color=FAINT, linewidth=0.8)
    # Smoothed apart: a mean across the change of the loss would show a descent that did not happen.
    warmup = [point for point in curves.losses if point[0] <= warmup_steps]
    parts = [part for part in (warmup, curves.losses[len(warmup) :]) if part]
    for part in parts:
        above.plot(*_columns(running_mean(part)), color=LOSS, linewidth=1.8)
    if len(parts) > 1:
        place = warmup_steps + 0.5
        above.axvline(place, color=FRAME, linewidth=0.8, linestyle=(0, (3, 3)))
        for name, points, side in (("all negatives", -5, "right"), ("hardest negatives", 5, "left")):
            options = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "color": INK}
            above.annotate(name, (place, 1.0), (points, -4), ha=side, va="top", fontsize=8, **options)
    above.set_yscale("log")
    above.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    above.yaxis.set_major_formatter(ScalarFormatter())
    above.yaxis.set_minor_formatter(NullFormatter())
    _style(above, "loss, summed over the batch")
    below.set(ylim=(0, 600), yticks=range(0, 601, 100))
    if curves.recalls:
        below.plot(*_columns(curves.recalls), color=RECALL, marker="o", markersize=4, linewidth=1.8)
        best = max(curves.recalls, key=lambda point: point[1])
        shift = (0, -13 if best[1] > 500 else 7)
        note = f"best {best[1]:.1f}"
        below.annotate(note, best, shift, textcoords="offset points", ha="right", color=INK, fontsize=8)
    _style(below, "recall sum on validation (600 at best)")
    below.set_xlabel("optimizer step", fontsize=9, color=INK)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def running_mean(points: Points) -> Points:
    """Return the exponential mean of the logarithms, corrected for its start; values below 0 are left out."""
    mean, weight, smooth = 0.0, 0.0, []
    for step, value in points:
        if value > 0:
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * math.log(value)
            weight = _SMOOTHING * weight + (1 - _SMOOTHING)
            smooth.append((step, math.exp(mean / weight)))
    return smooth


def _columns(points: Points) -> tuple[Sequence[float], Sequence[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(which="both", labelsize=8, colors=INK, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set(visible=False, color=FRAME)
    axes.spines["bottom"].set_visible(True)
