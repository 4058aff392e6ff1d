"""Attention pictures of a model in training, small enough to log every few epochs."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.attention import look
from scan_lightning.report.overlay import attention_figure

DOTS_PER_INCH = 110


def attention_picture(model: TrainedModel, store: Store, image: int, sentence: str) -> Image.Image:
    """Draw what the words of a sentence look at among an image's regions, on an empty canvas.

    Regions without boxes are laid out as a grid, in their order.

    Args:
        model: in its present state.
        store: of the image.
        image: its row.
        sentence: as a person writes it, at least one word.
    """
    boxes_K4, size = store.boxes(image), store.image_size(image)
    if not (min(size) > 0 and np.isfinite(boxes_K4).all()):
        boxes_K4, size = _grid(len(boxes_K4))
    explained = look(model, store, image, sentence, boxes=boxes_K4, size=size)
    figure = attention_figure(explained, title=f"{sentence}  ({store.image_id(image)})")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return Image.open(content)


def _grid(count: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Places for regions whose own are unknown: reading order, in a square."""
    columns = math.ceil(math.sqrt(count))
    row, column = np.divmod(np.arange(count), columns)
    corner = np.stack([column, row], axis=1) * 100.0
    side = columns * 100
    return np.hstack([corner + 6, corner + 94]), (side, side)
