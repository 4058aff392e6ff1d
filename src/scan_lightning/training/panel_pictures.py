"""Attention pictures of a model in training, small enough to log every few epochs."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.overlay import Explained, attention_figure

DOTS_PER_INCH = 110


def attention_picture(model: TrainedModel, store: Store, image: int, sentence: str) -> Image.Image:
    """Draw what the words of a sentence look at among an image's regions, on an empty canvas.

    Args:
        model: in its present state.
        store: of the image.
        image: its row.
        sentence: as a person writes it.
    """
    explained = explain(model, store, image, sentence)
    figure = attention_figure(explained, title=f"{sentence}  ({store.image_id(image)})")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return Image.open(content)


def explain(model: TrainedModel, store: Store, image: int, sentence: str) -> Explained:
    """Return what `attention_figure` draws; regions without boxes are laid out as a grid."""
    regions_1KF, (count,) = store.read_regions(np.array([image]))
    features_KF = regions_1KF[0, :count].astype(np.float32)
    tokens, weights, relevance = model.attend(features_KF, sentence)
    weights_QC, relevance_Q = weights.cpu().numpy(), relevance.cpu().numpy()
    direction = str(model.config.attention.direction)
    if direction == "i2t":
        weights_NK = weights_QC.T
    else:
        weights_NK, relevance_Q = weights_QC, relevance_Q[1:-1]
    size, boxes_K4 = store.image_size(image), store.boxes(image)
    if not (min(size) > 0 and np.isfinite(boxes_K4).all()):
        size, boxes_K4 = _grid(count)
    return Explained(
        direction=direction,
        words=tokens[1:-1],
        weights=weights_NK[1:-1],
        relevance=relevance_Q,
        boxes=boxes_K4,
        size=size,
        score=float(model.similarity(features_KF[None], [sentence])),
    )


def _grid(count: int) -> tuple[tuple[int, int], np.ndarray]:
    """Places for regions whose own are unknown: reading order, in a square."""
    columns = math.ceil(math.sqrt(count))
    row, column = np.divmod(np.arange(count), columns)
    corner = np.stack([column, row], axis=1) * 100.0
    side = columns * 100
    return (side, side), np.hstack([corner + 6, corner + 94])
