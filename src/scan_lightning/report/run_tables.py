"""The report's tables of runs as HTML: recall with intervals and the paper's row, and what each run was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from scan_lightning.report.paper_row import paper_row
from scan_lightning.report.runs import Run, groups
from scan_lightning.report.tables import DIRECTIONS, RECALLS, html_table

RECORD = ("run", "command", "status", "data", "steps", "time", "commit", "hardware")


def recall_html(runs: Sequence[Run]) -> str:
    """Return a row for each run, followed by the paper's where there is one."""
    best = [max(group, key=lambda run: run.rsum) for group in groups(runs) if len(group) > 1]
    rows = []
    for run in runs:
        if run.results is None:
            continue
        style = ' class="best"' if run in best else ""
        name = f'<th scope="row">{breakable(run.name)}</th><td>{escape(str(run.results["split"]))}</td>'
        rows.append(f"<tr{style}>{name}{_recall_cells(run.results)}</tr>")
        paper = paper_row(run)
        if paper is not None:
            values = (*paper.recalls.i2t, *paper.recalls.t2i, paper.recalls.rsum)
            name = f'<th scope="row">{escape(paper.name)}</th><td>test</td>'
            rows.append(f'<tr class="paper">{name}{"".join(map(_cell, values))}</tr>')
    sides = "".join(f'<th colspan="3" scope="colgroup">{name}</th>' for _, name in DIRECTIONS)
    names = "".join(f'<th scope="col">{name}</th>' for _ in DIRECTIONS for _, name in RECALLS)
    head = (
        f'<tr><th rowspan="2" scope="col">run</th><th rowspan="2" scope="col">split</th>{sides}'
        f'<th rowspan="2" scope="col">rsum</th></tr><tr>{names}</tr>'
    )
    return html_table(head, rows, "recall")


def record_html(runs: Sequence[Run]) -> str:
    """Return what each run was: command, state, data, time, code, machine."""
    head = "".join(f'<th scope="col" class="text">{name}</th>' for name in RECORD)
    rows = (
        f'<tr><th scope="row">{breakable(run.name)}</th>'
        + "".join(f'<td class="text">{escape(cell)}</td>' for cell in _record_cells(run.record))
        + "</tr>"
        for run in runs
    )
    return html_table(f"<tr>{head}</tr>", rows, "runs")


def breakable(name: str) -> str:
    """Return a name as HTML that a narrow column may break between its parts."""
    return re.sub(r"([/._-]+)", r"\1<wbr>", escape(name))


def _recall_cells(results: dict[str, Any]) -> str:
    intervals = results.get("interval") or {}
    cells = [
        _cell(results[side][key], (intervals.get(side) or {}).get(key))
        for side, _ in DIRECTIONS
        for key, _ in RECALLS
    ]
    return "".join([*cells, _cell(results["rsum"], intervals.get("rsum"))])


def _cell(value: float, interval: Sequence[float] | None = None) -> str:
    small = f'<span class="interval">{interval[0]:.1f} – {interval[1]:.1f}</span>' if interval else ""
    return f"<td>{value:.1f}{small}</td>"


def _record_cells(record: dict[str, Any]) -> list[str]:
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


def _duration(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
