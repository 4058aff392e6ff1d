"""Where a reproduction writes, and what is kept of a run: small files that go into version control."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

KEPT = ("config.yaml", "run.json", "results.json")
RECALLS = ("val/i2t/r1", "val/i2t/r10", "val/t2i/r1", "val/t2i/r10", "val/rsum")


@dataclass(frozen=True)
class Folders:
    """The folders of one table.

    Args:
        work: the store and the runs with their checkpoints; its name is the table's.
        records: results and, a folder a run, what is kept of it.
    """

    work: Path
    records: Path

    @property
    def store(self) -> Path:
        """The store, named after the table: a run's hash knows its store by this name."""
        return self.work / f"{self.work.name}.h5"

    def run(self, name: str, seed: int) -> Path:
        """The folder of a row's (or an ensemble's) run, named as the sweep names it."""
        return self.work / "runs" / f"{self.work.name}_{name}-seed{seed}"

    def record(self, name: str, seed: int) -> None:
        """Copy a run's configuration, record and results, its evaluations' too, to the records."""
        run, record = self.run(name, seed), self.records / "runs" / f"{name}-seed{seed}"
        shutil.rmtree(record, ignore_errors=True)
        for path in (path for kept in KEPT for path in (*run.glob(kept), *run.glob(f"test_*/{kept}"))):
            target = record / path.relative_to(run)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Paths below the current folder become relative: a record names no folder of the machine.
            target.write_text(
                path.read_text(encoding="utf-8").replace(f"{Path.cwd()}/", ""), encoding="utf-8"
            )
        if (run / "metrics.csv").exists():
            write_epochs(run / "metrics.csv", record / "epochs.csv")


def write_epochs(metrics: Path, out: Path) -> None:
    """Write one line an epoch: the mean loss over its steps and the recalls of its last validation."""
    losses: dict[int, list[float]] = {}
    recalls: dict[int, dict[str, str]] = {}
    with metrics.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            epoch = int(float(row["epoch"]))
            if row.get("train/loss"):
                losses.setdefault(epoch, []).append(float(row["train/loss"]))
            if row.get("val/rsum"):
                recalls[epoch] = row
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", "steps", "train/loss", *RECALLS])
        for epoch in sorted({*losses, *recalls}):
            steps, found = losses.get(epoch, []), recalls.get(epoch, {})
            values = [f"{float(found[name]):.3f}" if found.get(name) else "" for name in RECALLS]
            writer.writerow([epoch, len(steps), f"{fmean(steps):.3f}" if steps else "", *values])
