"""Attention pictures of a model in training, small enough to log every few epochs."""

from __future__ import annotations

import io

from PIL import Image

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.explanation import explain
from scan_lightning.report.overlay import attention_figure

DOTS_PER_INCH = 110


def attention_picture(model: TrainedModel, store: Store, image: int, sentence: str) -> Image.Image:
    """Draw the attention between an image and a sentence, on an empty canvas.

    Args:
        model: in its present state.
        store: of the image.
        image: its row.
        sentence: any, at least one word.
    """
    explained = explain(model, store, image, sentence)
    figure = attention_figure(explained, title=f"{sentence}  ({store.image_id(image)})")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return Image.open(content)
