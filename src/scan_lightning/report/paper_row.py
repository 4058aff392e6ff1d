"""The row of the paper that a run is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from scan_lightning.report.runs import Run
from scan_lightning.reproduce.published import COCO, FLICKR30K, Recalls


@dataclass(frozen=True)
class PaperRow:
    """A published row."""

    name: str  # data set, protocol and model
    recalls: Recalls  # in percent


def paper_row(run: Run) -> PaperRow | None:
    """Return the paper's recalls for a run's data and similarity; None when there are none, or off test.

    The data set is told from the name of the store and where it came from, the row from the settings; the
    rest of the recipe (epochs, embedding size) is not compared.
    """
    if run.results is None or run.results.get("split") != "test" or not run.settings:
        return None
    data = run.record.get("data")
    source = f"{data.get('path')} {data.get('source')}" if isinstance(data, dict) else str(data)
    images = int(run.results["images"]) // (run.queries.ranks.folds if run.queries else 1)
    protocol = {1000: "1k", 5000: "5k"}.get(images, "")
    if any(name in source.lower() for name in ("f30k", "flickr30k")):
        name, table = "Flickr30K", FLICKR30K
    elif "coco" in source.lower():
        name, table = f"MS-COCO {protocol.upper()}", COCO
    else:
        return None
    row = _row_name(run)
    recalls = table.get((protocol, row))
    return PaperRow(f"paper, {name}, {row}", recalls) if recalls else None


def _row_name(run: Run) -> str:
    """Return the name of a row in `published`, after what differs from the paper's models."""
    settings = run.settings
    if settings.get("loss.negatives") == "all":
        return "no_hard_negatives"
    if settings.get("model.normalize_regions") is False:
        return "image_not_normalized"
    if settings.get("model.bidirectional") is False:
        return "one_directional_gru"
    similarity = f"{settings.get('attention.rule')} {settings.get('attention._target_')}".lower()
    pooling = "summax" if "summax" in similarity else settings.get("attention.aggregation")
    return f"{settings.get('attention.direction')}_{pooling}"
