"""results.csv, results.json and results.md of a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from scan_lightning.reproduce.collected import Line
from scan_lightning.reproduce.paper_tables import Table
from scan_lightning.reproduce.published import Recalls

FIGURES = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "rsum")
ABOUT = ("config_hash", "commit", "wall_seconds", "hardware")
EXPECTED = tuple(f"expected_{name}" for name in FIGURES)
COLUMNS = ("protocol", "row", "seed", *FIGURES, *EXPECTED, "difference", "verdict", *ABOUT)


def rows(lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    """One row of COLUMNS a run, and one for each line that was not run; percent, two digits."""
    for line in lines:
        empty: dict[str, Any] = dict.fromkeys(COLUMNS)
        shared = {**empty, "protocol": line.protocol, "row": line.name}
        shared |= zip(EXPECTED, _rounded(line.expected), strict=False)
        if not line.runs:
            yield {**shared, "verdict": "not run"}
        for run in line.runs:
            difference, verdict = line.compared(run.recalls)
            points = None if difference is None else round(difference, 2)
            about = {name: run.about.get(name) for name in ABOUT}
            figures = zip(FIGURES, _rounded(run.recalls), strict=True)
            yield (
                shared | dict(figures) | about | {"seed": run.seed, "difference": points, "verdict": verdict}
            )


def csv_text(lines: Sequence[Line]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(lines))
    return text.getvalue()


def json_text(table: Table, lines: Sequence[Line]) -> str:
    """The same for programs."""
    content = {
        "table": table.name,
        "title": table.title,
        "expected_from": table.reference,
        "tolerance_rsum": table.tolerance,
        "generated_data": table.dry,
        "rows": list(rows(lines)),
    }
    return json.dumps(content, indent=2) + "\n"


def markdown(table: Table, lines: Sequence[Line]) -> str:
    """A Markdown table for each protocol: the mean over seeds beside the expected figures."""
    parts = [f"# {table.title}\n"]
    if table.dry:
        parts.append("A dry run on generated data: the figures say nothing about the method.\n")
    parts.append(
        f"Recall in percent at 1, 5, 10 (mean over seeds). Expected figures: {table.reference}. "
        f"Within tolerance: rsum differs by at most {table.tolerance:g} points.\n"
    )
    for protocol, folds in table.folds.items():
        title = "All test images" if folds == 1 else f"Mean over {folds} folds of the test images"
        parts.append(
            f"## {title}\n\n"
            "| model | seeds | image-to-text | text-to-image | rsum | over seeds "
            "| expected image-to-text | text-to-image | rsum | difference | verdict |\n"
            "|---|---|---|---|---|---|---|---|---|---|---|"
        )
        parts += [_markdown_row(line) for line in lines if line.protocol == protocol]
        parts.append("")
    return "\n".join(parts)


def _markdown_row(line: Line) -> str:
    seeds = ", ".join(str(run.seed) for run in line.runs) or "-"
    sums = [run.recalls.rsum for run in line.runs]
    spread = f"{min(sums):.1f} to {max(sums):.1f}" if len(sums) > 1 else "-"
    difference, verdict = line.compared(line.mean)
    points = "-" if difference is None else f"{difference:+.1f}"
    cells = [line.name, seeds, *_cells(line.mean), spread, *_cells(line.expected), points, verdict]
    return f"| {' | '.join(cells)} |"


def _rounded(recalls: Recalls | None) -> list[float]:
    return [round(value, 2) for value in _values(recalls)]


def _cells(recalls: Recalls | None) -> list[str]:
    values = [f"{value:.1f}" for value in _values(recalls)]
    return [" ".join(values[:3]), " ".join(values[3:6]), values[6]] if values else ["-", "-", "-"]


def _values(recalls: Recalls | None) -> list[float]:
    return [*recalls.i2t, *recalls.t2i, recalls.rsum] if recalls else []
