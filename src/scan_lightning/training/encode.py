"""A batch of pairs to embeddings, at once or in parts.

In parts, nothing but the embeddings is kept of a part; on the way back each is encoded again, and its
gradient added to the others'. So a step takes the memory of one part's encoders, and its gradient is that of
one step over all pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scan_lightning.data.batches import PairBatch
from scan_lightning.model.scan import ScanModel
from scan_lightning.training.gather import Embedded


def encode_pairs(model: ScanModel, batch: PairBatch, part: int | None = None) -> Embedded:
    """Embed a batch.

    Args:
        model: the encoders.
        batch: pairs. Without any, the empty embeddings still lead back to every parameter: other processes
            have pairs and wait for the gradient of this one.
        part: pairs encoded at a time; None: all.
    """
    images, captions = batch.images, batch.captions
    if len(batch):
        regions = _encode(model.encode_images, images.regions, images.counts, part)
        words = _encode(model.encode_captions, captions.tokens, captions.counts, part)
    else:
        nothing = torch.cat([parameter.flatten()[:0] for parameter in model.parameters()])
        regions = words = nothing.reshape(0, 1, model.embed_size)
    return Embedded(regions, words, images.counts.cpu(), captions.counts.cpu())


def _encode(
    encoder: Callable[[Tensor, Tensor], Tensor], items: Tensor, counts: Tensor, part: int | None
) -> Tensor:
    if part is None:
        return encoder(items, counts)
    embedded = [
        checkpoint(encoder, *pieces, use_reentrant=False, preserve_rng_state=False)
        for pieces in zip(torch.split(items, part), torch.split(counts, part), strict=True)
    ]
    return torch.cat(embedded)
