"""The recorded runs of a table, beside the figures to compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scan_lightning.reproduce.paper_tables import Table
from scan_lightning.reproduce.published import Recalls


@dataclass(frozen=True)
class Run:
    """One run's recalls on test, and its run.json."""

    seed: int
    recalls: Recalls
    about: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A row of the table under one protocol: what was measured, one run a seed, and what was expected."""

    protocol: str
    name: str
    runs: list[Run]
    expected: Recalls | None
    tolerance: float

    @property
    def mean(self) -> Recalls | None:
        """The mean over seeds; None when not run."""
        if not self.runs:
            return None
        values = zip(*((*run.recalls.i2t, *run.recalls.t2i) for run in self.runs), strict=True)
        a, b, c, d, e, f = (fmean(of_seeds) for of_seeds in values)
        return Recalls((a, b, c), (d, e, f))

    def compared(self, recalls: Recalls | None) -> tuple[float | None, str]:
        """The rsum less the expected one, and that in a word: within, above or below the tolerance."""
        if recalls is None or self.expected is None:
            return None, "not run" if recalls is None else "no figure to compare with"
        difference = recalls.rsum - self.expected.rsum
        beyond = "above" if difference > 0 else "below"
        return difference, "within" if abs(difference) <= self.tolerance else beyond


def collect(table: Table, records: Path) -> list[Line]:
    """Every row and ensemble under every protocol, from all runs recorded below `records` so far."""
    lines = []
    for protocol in table.folds:
        for name in table.names:
            found = (records / "runs").glob(f"{name}-seed[0-9]*/test_{protocol}/results.json")
            runs = sorted((_read(results) for results in found), key=lambda run: run.seed)
            expected = table.expected.get((protocol, name))
            lines.append(Line(protocol, name, runs, expected, table.tolerance))
    return lines


def _read(results: Path) -> Run:
    figures, folder = json.loads(results.read_text(encoding="utf-8")), results.parent.parent
    a, b, c, d, e, f = (float(figures[side][f"r{k}"]) for side in ("i2t", "t2i") for k in (1, 5, 10))
    records = (folder / "run.json", results.with_name("run.json"))  # an ensemble has the second alone
    about: dict[str, Any] = {}
    for record in (path for path in records if path.exists()):
        about = about or json.loads(record.read_text(encoding="utf-8"))
    return Run(int(folder.name.rpartition("-seed")[2]), Recalls((a, b, c), (d, e, f)), about)
