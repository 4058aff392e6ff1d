"""results.csv, results.json and results.md of a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from scan_lightning.reproduce.published import Recalls
from scan_lightning.reproduce.results import Line, difference, verdict
from scan_lightning.reproduce.tables import Table

FIGURES = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10")
COLUMNS = (
    "protocol",
    "row",
    "seed",
    *FIGURES,
    "rsum",
    *(f"expected_{name}" for name in (*FIGURES, "rsum")),
    "difference",
    "verdict",
    "config_hash",
    "commit",
    "wall_seconds",
    "hardware",
)


def write_results(table: Table, lines: Sequence[Line], folder: Path) -> None:
    """Write the three files; each replaces the one before it at once."""
    _replace(folder / "results.csv", csv_text(lines))
    _replace(folder / "results.json", json_text(table, lines))
    _replace(folder / "results.md", markdown(table, lines))


def csv_text(lines: Sequence[Line]) -> str:
    """One line a run, and one for each row that was not run."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        shared = {"protocol": line.protocol.name, "row": line.name}
        if line.expected is not None:
            shared |= {f"expected_{name}": f"{value:.1f}" for name, value in _named(line.expected).items()}
        if not line.runs:
            writer.writerow({**shared, "verdict": line.verdict})
        for run in line.runs:
            points = difference(run.recalls, line.expected)
            writer.writerow(
                {
                    **shared,
                    **{name: f"{value:.2f}" for name, value in _named(run.recalls).items()},
                    "seed": run.seed,
                    "difference": "" if points is None else f"{points:+.2f}",
                    "verdict": verdict(points, line.tolerance),
                    **{name: run.about.get(name, "") for name in COLUMNS[-4:]},
                }
            )
    return text.getvalue()


def json_text(table: Table, lines: Sequence[Line]) -> str:
    """The same for programs, with the mean over seeds."""
    rows = [
        {
            "protocol": line.protocol.name,
            "row": line.name,
            "seeds": [run.seed for run in line.runs],
            "rsum_each": [round(run.rsum, 3) for run in line.runs],
            "ours": _rounded(line.ours),
            "expected": _rounded(line.expected),
            "difference": None if line.difference is None else round(line.difference, 3),
            "verdict": line.verdict,
        }
        for line in lines
    ]
    about = {
        "table": table.name,
        "title": table.title,
        "expected_from": table.reference,
        "tolerance_rsum": table.tolerance,
        "generated_data": table.dry,
    }
    return json.dumps({**about, "rows": rows}, indent=2) + "\n"


def markdown(table: Table, lines: Sequence[Line]) -> str:
    """A Markdown table for each protocol: ours, expected, the difference, within tolerance or not."""
    parts = [f"# {table.title}\n"]
    if table.dry:
        parts.append("A dry run on generated data: the figures say nothing about the method.\n")
    parts.append(
        f"Recall in percent at 1, 5, 10 (mean over seeds). Expected figures: {table.reference}. "
        f"Within tolerance: rsum differs by at most {table.tolerance:g} points.\n"
    )
    for protocol in table.protocols:
        parts.append(f"## {protocol.title[0].upper()}{protocol.title[1:]}\n")
        parts.append(
            "| model | seeds | image-to-text | text-to-image | rsum | over seeds "
            "| expected image-to-text | text-to-image | rsum | difference | verdict |\n"
            "|---|---|---|---|---|---|---|---|---|---|---|"
        )
        parts += [_markdown_row(line) for line in lines if line.protocol == protocol]
        parts.append("")
    return "\n".join(parts)


def _markdown_row(line: Line) -> str:
    seeds = ", ".join(str(run.seed) for run in line.runs) or "-"
    sums = [run.rsum for run in line.runs]
    spread = f"{min(sums):.1f} to {max(sums):.1f}" if len(sums) > 1 else "-"
    points = "-" if line.difference is None else f"{line.difference:+.1f}"
    ours, expected = _cells(line.ours), _cells(line.expected)
    return f"| {' | '.join([line.name, seeds, *ours, spread, *expected, points, line.verdict])} |"


def _cells(recalls: Recalls | None) -> tuple[str, str, str]:
    if recalls is None:
        return ("-", "-", "-")
    i2t, t2i = (" ".join(f"{value:.1f}" for value in side) for side in (recalls.i2t, recalls.t2i))
    return (i2t, t2i, f"{recalls.rsum:.1f}")


def _named(recalls: Recalls) -> dict[str, float]:
    return dict(zip((*FIGURES, "rsum"), (*recalls.i2t, *recalls.t2i, recalls.rsum), strict=True))


def _rounded(recalls: Recalls | None) -> dict[str, float] | None:
    return None if recalls is None else {name: round(value, 3) for name, value in _named(recalls).items()}


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
