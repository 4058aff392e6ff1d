"""The recorded runs of a table, beside the figures to compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scan_lightning.reproduce.place import Place, evaluation_folder
from scan_lightning.reproduce.published import Recalls
from scan_lightning.reproduce.tables import Protocol, Table

KS = ("r1", "r5", "r10")


@dataclass(frozen=True)
class Recorded:
    """One run's figures on test.

    Args:
        about: its run.json, empty when it has none.
    """

    seed: int
    recalls: Recalls
    rsum: float
    about: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A row of the table under one protocol: what was measured and what was expected."""

    protocol: Protocol
    name: str
    runs: tuple[Recorded, ...]  # one a seed; none: not run
    expected: Recalls | None
    tolerance: float

    @property
    def ours(self) -> Recalls | None:
        """The mean over seeds."""
        if not self.runs:
            return None
        i2t, t2i = (
            [fmean(getattr(run.recalls, side)[k] for run in self.runs) for k in range(3)]
            for side in ("i2t", "t2i")
        )
        return Recalls((i2t[0], i2t[1], i2t[2]), (t2i[0], t2i[1], t2i[2]))

    @property
    def difference(self) -> float | None:
        """Our rsum less the expected one."""
        return difference(self.ours, self.expected)

    @property
    def verdict(self) -> str:
        """`within`, `above` or `below` the tolerance; `not run`, or nothing to compare with."""
        return "not run" if not self.runs else verdict(self.difference, self.tolerance)


def difference(ours: Recalls | None, expected: Recalls | None) -> float | None:
    """The rsum of one less the other's, where there are both."""
    return ours.rsum - expected.rsum if ours is not None and expected is not None else None


def verdict(points: float | None, tolerance: float) -> str:
    """A difference of rsum in a word."""
    if points is None:
        return "no figure to compare with"
    if abs(points) <= tolerance:
        return "within"
    return "above" if points > 0 else "below"


def collect(table: Table, place: Place) -> list[Line]:
    """Every row and ensemble under every protocol, from the records of all runs so far."""
    return [
        Line(
            protocol,
            name,
            tuple(_recorded(place, protocol, name)),
            table.expected.get((protocol.name, name)),
            table.tolerance,
        )
        for protocol in table.protocols
        for name in table.names
    ]


def _recorded(place: Place, protocol: Protocol, name: str) -> list[Recorded]:
    found = []
    for folder in (place.records / "runs").glob(f"{name}-seed*"):
        seed = folder.name.removeprefix(f"{name}-seed")
        results = folder / evaluation_folder(protocol) / "results.json"
        if seed.isdigit() and results.exists():
            figures = _json(results)
            sides = [tuple(float(figures[side][k]) for k in KS) for side in ("i2t", "t2i")]
            recalls = Recalls(*((side[0], side[1], side[2]) for side in sides))
            about = _json(folder / "run.json") or _json(results.parent / "run.json")
            found.append(Recorded(int(seed), recalls, float(figures["rsum"]), about))
    return sorted(found, key=lambda run: run.seed)


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content
