"""A run's metrics.csv, which has a row every step, brought down to what happened epoch by epoch."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

COLUMNS = (
    "epoch",
    "steps",
    "train/loss",
    "val/i2t/r1",
    "val/i2t/r10",
    "val/t2i/r1",
    "val/t2i/r10",
    "val/rsum",
)


@dataclass(frozen=True)
class Validation:
    """One validation during training."""

    epoch: int
    rsum: float


def validations(metrics: Path) -> list[Validation]:
    """The validations in a run's metrics.csv so far; none when there is no file yet."""
    return [Validation(_epoch(row), float(row["val/rsum"])) for row in _rows(metrics) if row.get("val/rsum")]


def write_epochs(metrics: Path, out: Path) -> None:
    """Write one line an epoch: the mean loss over its steps and the figures of its last validation."""
    losses: dict[int, list[float]] = {}
    figures: dict[int, dict[str, str]] = {}
    for row in _rows(metrics):
        if row.get("train/loss"):
            losses.setdefault(_epoch(row), []).append(float(row["train/loss"]))
        if row.get("val/rsum"):
            figures[_epoch(row)] = row
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for epoch in sorted({*losses, *figures}):
            steps = losses.get(epoch, [])
            loss = f"{fmean(steps):.3f}" if steps else ""
            found = figures.get(epoch, {})
            recalls = [f"{float(found[name]):.3f}" if found.get(name) else "" for name in COLUMNS[3:]]
            writer.writerow([epoch, len(steps), loss, *recalls])


def _rows(metrics: Path) -> list[dict[str, str]]:
    if not metrics.exists():
        return []
    whole, _, _ = metrics.read_text(encoding="utf-8").rpartition("\n")  # the last line may be half written
    return [row for row in csv.DictReader(whole.splitlines()) if row.get("epoch")]


def _epoch(row: dict[str, str]) -> int:
    return int(float(row["epoch"]))
