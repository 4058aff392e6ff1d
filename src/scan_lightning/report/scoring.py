"""Ranks of a split for a model at hand, when no evaluation has left them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from scan_lightning.data.captions import caption_tokens
from scan_lightning.data.store import Store
from scan_lightning.model.trained import CAPTION_BLOCK, IMAGE_BLOCK, TrainedModel
from scan_lightning.retrieval.embeddings import Embeddings
from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.score import rank_split

TOP_K = 10


@torch.no_grad()
def rank_model(model: TrainedModel, store: Store, split: str) -> Queries:
    """Ranks every query of a split.

    Args:
        model: Of the store's feature width.
        store: With the split.
        split: Which one.

    Returns:
        The ranks, with the ten best items of each query.
    """
    images, captions = store.image_rows(split), store.caption_rows(split)
    ranks = rank_split(
        Embeddings.from_batches(_images(model, store, images)),
        Embeddings.from_batches(_captions(model, store, captions)),
        torch.from_numpy(np.searchsorted(images, store.caption_image[captions])),
        model.rule,
        top_k=TOP_K,
        progress=True,
    )
    return Queries(split, ranks, [store.image_id(int(row)) for row in images], store.caption_text(captions))


def _images(model: TrainedModel, store: Store, rows: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(rows), IMAGE_BLOCK):
        features, counts = store.read_regions(rows[start : start + IMAGE_BLOCK])
        counted = torch.from_numpy(counts)
        yield model.network.encode_images(torch.from_numpy(features).float(), counted), counted


def _captions(model: TrainedModel, store: Store, rows: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    tokens = caption_tokens(store, rows, model.vocabulary)
    for start in range(0, len(rows), CAPTION_BLOCK):
        positions = np.arange(start, min(start + CAPTION_BLOCK, len(rows)))
        padded, counts = tokens.padded(positions)
        yield model.network.encode_captions(padded, counts), counts
