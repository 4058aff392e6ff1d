"""The report's tables of runs: recall with intervals and the paper's row, and what each run was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scan_lightning.report.paper_row import paper_row
from scan_lightning.report.runs import Run, groups
from scan_lightning.report.tables import DIRECTIONS, RECALLS


class RecallRow(NamedTuple):
    """A row of the recall table; each cell is a value in percent and its interval, if any."""

    name: str
    split: str
    cells: list[tuple[float, Sequence[float] | None]]
    kind: str  # "best" of comparable runs, "paper" or ""


def recall_rows(runs: Sequence[Run]) -> list[RecallRow]:
    """Return a row for each run with results, followed by the paper's where there is one."""
    best = [max(group, key=lambda run: run.rsum) for group in groups(runs) if len(group) > 1]
    rows = []
    for run in runs:
        if run.results is None:
            continue
        cells = _recall_cells(run.results)
        rows.append(RecallRow(run.name, str(run.results["split"]), cells, "best" if run in best else ""))
        paper = paper_row(run)
        if paper is not None:
            values = (*paper.recalls.i2t, *paper.recalls.t2i, paper.recalls.rsum)
            rows.append(RecallRow(paper.name, "test", [(value, None) for value in values], "paper"))
    return rows


def record_cells(record: dict[str, Any]) -> list[str]:
    """Return what a run was: command, status, data, steps, time, commit, hardware."""
    data = record.get("data")
    source = data.get("source") or data.get("path") if isinstance(data, dict) else data
    steps, seconds = record.get("steps"), record.get("wall_seconds")
    commit = str(record.get("commit") or "")[:10]
    return [
        str(record.get("command", "")),
        str(record.get("status", "")),
        str(source or ""),
        f"{steps:,}" if isinstance(steps, int) else "",
        "" if seconds is None else _duration(round(float(seconds))),
        commit + (" with changes" if commit and record.get("dirty") else ""),
        str(record.get("hardware", "")),
    ]


def _recall_cells(results: dict[str, Any]) -> list[tuple[float, Sequence[float] | None]]:
    intervals = results.get("interval") or {}
    cells = [
        (results[side][key], (intervals.get(side) or {}).get(key))
        for side, _ in DIRECTIONS
        for key, _ in RECALLS
    ]
    return [*cells, (results["rsum"], intervals.get("rsum"))]


def _duration(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
