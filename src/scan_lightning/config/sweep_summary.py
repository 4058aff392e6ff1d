"""What a sweep came to: a table on the screen, sweep.csv and sweep.json in its folder."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from scan_lightning.config.devices import is_first_process
from scan_lightning.config.plan import Job
from scan_lightning.config.sweep import ERROR_FILE
from scan_lightning.files import write_json, write_text

RECALLS = [(side, name) for side in ("i2t", "t2i") for name in ("r1", "r5", "r10", "medr", "meanr")]


def summarise(command: str, folder: Path, swept: Sequence[str], jobs: Sequence[Job]) -> int:
    """Print and write the comparison of a sweep's jobs.

    Args:
        command: the command's name, for the hint how to go on.
        folder: the sweep's folder.
        swept: the keys with several values.
        jobs: the jobs of a grid; empty: those found in the folder.

    Returns:
        0, or 2 when a job failed by a user's fault and none by ours, or 1.
    """
    if not is_first_process():
        return 0
    rows = [_row(folder, job) for job in jobs or _found(folder, swept)]
    write_json(folder / "sweep.json", rows)
    _write_csv(folder / "sweep.csv", swept, rows)
    console = Console()
    console.print(_table(folder, swept, rows))
    console.print(f"{folder / 'sweep.csv'}", highlight=False, soft_wrap=True)
    failed = [row for row in rows if row["status"] != "done"]
    for row in failed:
        console.print(
            f"{row['status']}: {row['job']}: {_last_line(row)}", style="red", highlight=False, soft_wrap=True
        )
    if not failed:
        return 0
    console.print(
        f"{len(failed)} of {len(rows)} jobs have no result; the same command again runs those alone."
    )
    return 2 if all(row["status"] == "failed" for row in failed) else 1


def _row(folder: Path, job: Job) -> dict[str, Any]:
    row: dict[str, Any] = {
        "job": str(job.folder.relative_to(folder)),
        "status": "not finished",
        **{"swept": job.swept},
    }
    error, results = job.folder / ERROR_FILE, job.folder / "results.json"
    if error.exists():
        row["error"] = error.read_text(encoding="utf-8")
        row["status"] = "broke" if row["error"].startswith("Traceback") else "failed"
    elif results.exists():
        row["status"] = "done"
        row["results"] = json.loads(results.read_text(encoding="utf-8"))
    return row


def _found(folder: Path, swept: Sequence[str]) -> list[Job]:
    """The jobs that an optimising sweeper started, in the order in which they began."""
    records = [*folder.rglob("config.yaml"), *folder.rglob(ERROR_FILE)]
    folders = {
        record.parent: record.stat().st_mtime for record in reversed(records) if record.parent != folder
    }
    jobs = []
    for job in sorted(folders, key=lambda item: (folders[item], item)):
        config = yaml.safe_load((job / "config.yaml").read_text()) if (job / "config.yaml").exists() else {}
        jobs.append(Job(job, {key: str(_select(config, key)) for key in swept}))
    return jobs


def _select(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return value


def _write_csv(path: Path, swept: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    header = ["job", "status", *swept, *(f"{side}/{name}" for side, name in RECALLS), "rsum", "error"]
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    for row in rows:
        results = row.get("results")
        recalls = [results[side][name] for side, name in RECALLS] if results else [""] * len(RECALLS)
        rsum = results["rsum"] if results else ""
        values = [row["swept"].get(key, "") for key in swept]
        writer.writerow([row["job"], row["status"], *values, *recalls, rsum, _last_line(row)])
    write_text(path, text.getvalue())


def _table(folder: Path, swept: Sequence[str], rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=f"{folder}", caption="R@K in percent; the best rsum is bold")
    for key in swept or ["job"]:
        table.add_column(key.rsplit(".", 1)[-1], overflow="fold")
    for side in ("i2t", "t2i"):
        for name in ("R@1", "R@5", "R@10"):
            table.add_column(f"{side}\n{name}", justify="right")
    table.add_column("rsum", justify="right")
    sums = [row["results"]["rsum"] for row in rows if "results" in row]
    for row in rows:
        labels = [_short(row["swept"].get(key, "")) for key in swept] or [row["job"]]
        results = row.get("results")
        if results is None:
            table.add_row(*labels, *[""] * 6, row["status"], style="red")
            continue
        recalls = [f"{results[side][name]:.1f}" for side in ("i2t", "t2i") for name in ("r1", "r5", "r10")]
        style = "bold" if results["rsum"] == max(sums) else ""
        table.add_row(*labels, *recalls, f"{results['rsum']:.1f}", style=style)
    return table


def _short(value: str) -> str:
    """A number that a sweeper chose has more digits than anyone wants to compare."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d+\.\d{5,}(e-?\d+)?", value) else value


def _last_line(row: dict[str, Any]) -> str:
    lines = str(row.get("error", "")).strip().splitlines()
    if not lines:
        return ""
    return lines[-1] if row["status"] == "broke" else " ".join(line.strip() for line in lines)
