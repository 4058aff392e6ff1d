"""results.json and results.csv: the recalls of one model on one split."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scan_lightning.files import write_json, write_text


def results_of(figures: dict[str, Any], *, split: str, images: int, captions: int) -> dict[str, Any]:
    """Return the content of results.json.

    Args:
        figures: `RetrievalMetrics.as_dict()`, with or without more keys.
        split: which one.
        images: its size.
        captions: its captions.
    """
    kept = {name: figures[name] for name in ("i2t", "t2i", "rsum")}
    return {"split": split, "images": images, "captions": captions, **kept}


def write_results(run_dir: Path, results: dict[str, Any]) -> None:
    """Write results.csv (one row, the same names with slashes) and results.json."""
    flat = dict(_flat(results))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat), lineterminator="\n")
    writer.writeheader()
    writer.writerow(flat)
    write_text(run_dir / "results.csv", text.getvalue())
    write_json(run_dir / "results.json", results)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names with slashes; an interval [low, high] becomes two columns."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            yield from zip((f"{prefix}{name}/low", f"{prefix}{name}/high"), value, strict=True)
        else:
            yield f"{prefix}{name}", value
