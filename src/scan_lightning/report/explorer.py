"""The data of the attention explorer: pictures, their right sentences and the hardest wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.progress import progress
from scan_lightning.report.explanation import explain
from scan_lightning.report.pictures import data_uri, open_picture
from scan_lightning.retrieval.queries import Queries

LONGEST = 480  # pixels of an embedded picture
WRONG = 3  # sentences of other pictures that are kept
RIGHT = 5  # sentences of its own


def explorer_data(
    model: TrainedModel, store: Store, queries: Queries, images: Sequence[int], images_dir: Path | None
) -> dict[str, Any]:
    """Return what the explorer shows of some of the queries' images, as plain values for JSON.

    Images whose picture is not in the folder, or all without a folder, are drawn as empty canvases.

    Raises:
        ScanError: a picture is damaged or does not fit.
    """
    pictures = []
    with progress("explaining", len(images), unit="pictures") as advance:
        for image in images:
            pictures.append(_picture(model, store, queries, image, images_dir))
            advance(1)
    return {"direction": model.rule.direction, "pictures": pictures}


def _picture(
    model: TrainedModel, store: Store, queries: Queries, image: int, images_dir: Path | None
) -> dict[str, Any]:
    name, ranks, top = queries.image_ids[image], queries.ranks, queries.ranks.top
    row = store.find_image(name)
    placed = bool(np.isfinite(store.boxes(row)).all())
    picture = open_picture(store, row, images_dir) if placed else None
    own, query = ranks.captions_of(image), np.flatnonzero(ranks.i2t_images == image).tolist()
    best = top.i2t[query[0]].tolist() if top is not None and query else []
    wrong = [caption for caption in best if caption >= 0 and caption not in own][:WRONG]
    shown = [
        (
            explain(model, store, row, queries.captions[caption], picture=picture),
            queries.captions[caption],
            right,
        )
        for captions, right in ((own[:RIGHT], True), (wrong, False))
        for caption in captions
    ]
    sentences: list[dict[str, Any]] = [
        {
            "text": text,
            "score": round(explained.score, 4),
            "right": right,
            "words": explained.words,
            "weights": np.round(explained.weights.astype(float), 3).tolist(),
            "relevance": np.round(explained.relevance.astype(float), 3).tolist(),
        }
        for explained, text, right in shown
        if explained.words
    ]
    boxes, (width, height) = shown[0][0].boxes, shown[0][0].size
    return {
        "id": name,
        "width": width,
        "height": height,
        "source": None if picture is None else data_uri(picture, LONGEST),
        "placed": placed,
        "boxes": np.round(boxes, 1).tolist(),
        "rank": int(ranks.i2t[query[0]]) + 1 if query else None,
        "total": len(queries.captions),
        "heat": max([1e-6, *(weight for one in sentences for row in one["weights"] for weight in row)]),
        "sentences": sorted(sentences, key=lambda sentence: -sentence["score"]),
    }
