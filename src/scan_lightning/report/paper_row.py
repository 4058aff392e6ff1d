"""The row of the paper that a run may be held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scan_lightning.report.runs import Run
from scan_lightning.reproduce.published import COCO, FLICKR30K, Recalls


@dataclass(frozen=True)
class PaperRow:
    """A published row.

    Attributes:
        name: Data set, protocol and model.
        recalls: In percent.
    """

    name: str
    recalls: Recalls


def paper_row(run: Run) -> PaperRow | None:
    """The paper's figures for a run's data and similarity; None when there are none, or it is no test run.

    The data set is told from the name of the store and where it came from, the row from the settings; the
    rest of the recipe (epochs, embedding size) is not compared.
    """
    if run.results is None or run.results.get("split") != "test" or not run.settings:
        return None
    source = run.record.get("data")
    told = f"{source.get('path')} {source.get('source')}" if isinstance(source, dict) else str(source)
    told = told.lower()
    folds = run.queries.ranks.folds if run.queries else 1
    images = int(run.results["images"]) // folds
    row = _row(run.settings)
    if ("f30k" in told or "flickr30k" in told) and images == 1000:
        published = FLICKR30K.get(("1k", row))
        return PaperRow(f"paper, Flickr30K, {row}", published) if published else None
    protocol = {1000: "1k", 5000: "5k"}.get(images)
    if "coco" in told and protocol:
        published = COCO.get((protocol, row))
        return PaperRow(f"paper, MS-COCO {protocol.upper()}, {row}", published) if published else None
    return None


def _row(settings: dict[str, Any]) -> str:
    """The name of a row in `published`, after what differs from the paper's models."""
    attention, model = settings.get("attention", {}), settings.get("model", {})
    if settings.get("loss", {}).get("negatives") == "all":
        return "no_hard_negatives"
    if model.get("normalize_regions") is False:
        return "image_not_normalized"
    if model.get("bidirectional") is False:
        return "one_directional_gru"
    pooling = "summax" if attention.get("rule") == "summax" else attention.get("aggregation")
    return f"{attention.get('direction')}_{pooling}"
