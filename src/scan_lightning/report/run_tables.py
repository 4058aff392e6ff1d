"""The report's tables of runs as HTML: recall with intervals and the paper's row, and what each run was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from scan_lightning.report.paper_row import paper_row
from scan_lightning.report.runs import Run

SIDES = (("i2t", "image to text"), ("t2i", "text to image"))
RECALLS = (("r1", "R@1"), ("r5", "R@5"), ("r10", "R@10"))


def recall_html(runs: Sequence[Run]) -> str:
    """A row a run, each followed by the paper's where there is one."""
    done = [run for run in runs if run.results is not None]
    best = _best(done)
    rows: list[str] = []
    for run in done:
        assert run.results is not None
        style = ' class="best"' if run in best else ""
        name = f'<th scope="row">{breakable(run.name)}</th><td>{escape(str(run.results["split"]))}</td>'
        rows.append(f"<tr{style}>{name}{''.join(_cells(run.results))}</tr>")
        paper = paper_row(run)
        if paper is not None:
            values = (*paper.recalls.i2t, *paper.recalls.t2i, paper.recalls.rsum)
            cells = "".join(f"<td>{value:.1f}</td>" for value in values)
            rows.append(
                f'<tr class="paper"><th scope="row">{escape(paper.name)}</th><td>test</td>{cells}</tr>'
            )
    sides = "".join(f'<th colspan="3" scope="colgroup">{name}</th>' for _, name in SIDES)
    names = "".join(f'<th scope="col">{name}</th>' for _ in SIDES for _, name in RECALLS)
    head = (
        f'<tr><th rowspan="2" scope="col">run</th><th rowspan="2" scope="col">split</th>{sides}'
        f'<th rowspan="2" scope="col">rsum</th></tr><tr>{names}</tr>'
    )
    table = f'<table class="recall"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def breakable(name: str) -> str:
    """A name as HTML that a narrow column may break between its parts."""
    return re.sub(r"([/._-]+)", r"\1<wbr>", escape(name))


def _best(runs: Sequence[Run]) -> list[Run]:
    """The best of several runs on the same split and as many images; others cannot be compared."""
    groups: dict[tuple[Any, Any], list[Run]] = {}
    for run in runs:
        assert run.results is not None
        groups.setdefault((run.results["split"], run.results["images"]), []).append(run)
    sums = {id(run): float(run.results["rsum"]) for run in runs if run.results is not None}
    return [max(group, key=lambda run: sums[id(run)]) for group in groups.values() if len(group) > 1]


def _cells(results: dict[str, Any]) -> list[str]:
    intervals = results.get("interval") or {}
    cells = [
        _cell(results[side][key], (intervals.get(side) or {}).get(key))
        for side, _ in SIDES
        for key, _ in RECALLS
    ]
    return [*cells, _cell(results["rsum"], intervals.get("rsum"))]


def _cell(value: float, interval: Sequence[float] | None) -> str:
    told = f'<span class="interval">{interval[0]:.1f} – {interval[1]:.1f}</span>' if interval else ""
    return f"<td>{value:.1f}{told}</td>"


def record_html(runs: Sequence[Run]) -> str:
    """What each run was: command, state, data, time, code, machine."""
    names = ("run", "command", "status", "data", "steps", "time", "commit", "hardware")
    head = "".join(f'<th scope="col" class="text">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{breakable(run.name)}</th>'
        + "".join(f'<td class="text">{escape(cell)}</td>' for cell in _record(run.record))
        + "</tr>"
        for run in runs
    )
    table = f'<table class="runs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _record(record: dict[str, Any]) -> list[str]:
    data = record.get("data")
    source = data.get("source") or data.get("path") if isinstance(data, dict) else data
    seconds = record.get("wall_seconds")
    commit = str(record.get("commit") or "")[:10]
    changed = " with changes" if commit and record.get("dirty") else ""
    return [
        str(record.get("command", "")),
        str(record.get("status", "")),
        str(source or ""),
        f"{record['steps']:,}" if isinstance(record.get("steps"), int) else "",
        "" if seconds is None else _time(float(seconds)),
        commit + changed,
        str(record.get("hardware", "")),
    ]


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
