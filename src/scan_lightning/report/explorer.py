"""The data of the attention explorer: pictures, their right sentences and the hardest wrong ones."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.progress import progress
from scan_lightning.report.attention import find_picture, open_picture
from scan_lightning.retrieval.queries import Queries

Array: TypeAlias = NDArray[Any]

LONGEST = 480  # pixels of an embedded picture
QUALITY = 82  # of its JPEG
WRONG = 3  # sentences of other pictures that are kept
RIGHT = 5  # sentences of its own


def explorer_data(
    model: TrainedModel, store: Store, queries: Queries, images: Sequence[int], images_dir: Path | None
) -> dict[str, Any]:
    """Collects what the explorer shows.

    Args:
        model: Of the store's feature width.
        store: Of the queries' images.
        queries: Ranked, with the best captions of each image kept.
        images: Which of the queries' images, by number.
        images_dir: Folder of the pictures; those it lacks, or all without it, are drawn as empty canvases.

    Returns:
        Plain values for JSON: `direction` and `pictures`.
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
    name = queries.image_ids[image]
    row = store.find_image(name)
    regions, (count,) = store.read_regions(np.array([row]))
    features = regions[0, :count].astype(np.float32)
    placed = bool(np.isfinite(store.boxes(row)).all())
    picture = picture_of(store, row, images_dir) if placed else None
    boxes, size = place_regions(store, row, int(count), picture)
    own, others = _sentences(queries, image)
    scores = model.similarity(features[None], [queries.captions[caption] for caption in own + others])[0]
    sentences = []
    for caption, score in zip(own + others, scores.tolist(), strict=True):
        text = queries.captions[caption]
        explained = _explain(model, features, text)
        sentences.append({"text": text, "score": round(score, 4), "right": caption in own, **explained})
    sentences.sort(key=lambda sentence: -sentence["score"])
    heat = max((weight for each in sentences for line in each["weights"] for weight in line), default=1.0)
    return {
        "id": name,
        "width": size[0],
        "height": size[1],
        "source": None if picture is None else data_uri(picture, LONGEST),
        "placed": placed,
        "boxes": np.round(boxes, 1).tolist(),
        "rank": _rank(queries, image),
        "total": len(queries.captions),
        "heat": max(heat, 1e-6),
        "sentences": [sentence for sentence in sentences if sentence["words"]],
    }


def _sentences(queries: Queries, image: int) -> tuple[list[int], list[int]]:
    """An image's captions, and the best scored ones of other images."""
    ranks, top = queries.ranks, queries.ranks.top
    own = ranks.captions_of(image)
    place = np.flatnonzero(ranks.i2t_images == image)
    best = top.i2t[place[0]].tolist() if top is not None and len(place) else []
    return own[:RIGHT], [caption for caption in best if caption >= 0 and caption not in own][:WRONG]


def _rank(queries: Queries, image: int) -> int | None:
    place = np.flatnonzero(queries.ranks.i2t_images == image)
    return int(queries.ranks.i2t[place[0]]) + 1 if len(place) else None


def _explain(model: TrainedModel, features: Array, text: str) -> dict[str, Any]:
    """Words, weights (words x regions) and relevances, rounded, without the start and end tokens."""
    tokens, weights, relevance = model.attend(features, text)
    t2i = model.rule.direction == "t2i"
    by_word = (weights if t2i else weights.T).cpu().numpy()[1:-1]
    told = relevance.cpu().numpy()[1:-1] if t2i else relevance.cpu().numpy()
    return {
        "words": tokens[1:-1],
        "weights": np.round(by_word.astype(float), 3).tolist(),
        "relevance": np.round(told.astype(float), 3).tolist(),
    }


def picture_of(store: Store, row: int, images_dir: Path | None) -> Image.Image | None:
    """The picture of an image, None when its file is not in the folder.

    Raises:
        ScanError: the file is no picture, or one of other proportions.
    """
    if images_dir is None or find_picture(images_dir, store.image_id(row)) is None:
        return None
    return open_picture(images_dir, store.image_id(row), store.image_size(row))


def place_regions(
    store: Store, row: int, count: int, picture: Image.Image | None
) -> tuple[Array, tuple[int, int]]:
    """Boxes and the size of the image they lie in; regions of unknown place are laid out as a grid."""
    boxes = store.boxes(row).astype(float)
    size = store.image_size(row)
    if np.isfinite(boxes).all():
        if not all(size):
            width, height = boxes[:, 2:].max(axis=0).tolist()
            size = picture.size if picture else (math.ceil(width), math.ceil(height))
        return boxes, size
    columns = math.ceil(math.sqrt(count))
    down, across = np.divmod(np.arange(count), columns)
    corner = np.stack([across, down], axis=1) * 100.0
    return np.hstack([corner + 6, corner + 94]), (columns * 100, -(-count // columns) * 100)


def data_uri(picture: Image.Image, longest: int) -> str:
    """A picture as a JPEG data URI, shrunk to at most `longest` pixels."""
    shrink = min(1.0, longest / max(picture.size))
    width, height = (max(1, round(side * shrink)) for side in picture.size)
    file = io.BytesIO()
    picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(
        file, "JPEG", quality=QUALITY, optimize=True
    )
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
