"""Ranks of a split by a model at hand, when no evaluation has left them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.retrieval.embeddings import Embeddings
from scan_lightning.retrieval.queries import TOP_K, Queries
from scan_lightning.retrieval.score import rank_split

BLOCK = 256  # items encoded at a time


@torch.no_grad()
def rank_model(model: TrainedModel, store: Store, split: str) -> Queries:
    """Rank every query of a split, and keep the ten best items of each."""
    images, captions = store.image_rows(split), store.caption_rows(split)
    texts = store.caption_text(captions)

    def encoded_images() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(images), BLOCK):
            features, counts = (
                torch.from_numpy(part) for part in store.read_regions(images[start : start + BLOCK])
            )
            yield model.encode_images(features.float(), counts), counts

    def encoded_captions() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(texts), BLOCK):
            words = model.encode_captions(texts[start : start + BLOCK])
            yield words, (words != 0).any(-1).sum(1)  # past its words a caption is zero

    ranks = rank_split(
        Embeddings.from_batches(encoded_images()),
        Embeddings.from_batches(encoded_captions()),
        torch.from_numpy(np.searchsorted(images, store.caption_image[captions])),
        model.rule,
        top_k=TOP_K,
        progress=True,
    )
    return Queries(split, ranks, [store.image_id(int(row)) for row in images], texts)
