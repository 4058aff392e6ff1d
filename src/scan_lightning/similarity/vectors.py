"""Similarities that are the dot product of two vectors: each image and each caption is encoded once."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scan_lightning.errors import ScanError
from scan_lightning.similarity.base import Side, Similarity
from scan_lightning.similarity.inputs import DEFAULT_BUDGET, compute_dtype, real_positions, zero_padding
from scan_lightning.similarity.product import full_precision, scores_of


def vector_matrix(
    regions: Tensor,
    words: Tensor,
    region_counts: Tensor,
    word_counts: Tensor,
    rule: Similarity,
    budget: int,
    product: str,
) -> Tensor:
    """`similarity_matrix` of checked inputs; recomputed in blocks in the backward pass."""
    dtype = compute_dtype(regions, words)
    images_IV = pooled_vectors(rule, rule.pool_images, regions, region_counts, dtype, budget)
    captions_CV = pooled_vectors(rule, rule.pool_captions, words, word_counts, dtype, budget)
    with full_precision(regions.device):
        return scores_of(images_IV, captions_CV, product)


def vector_pairs(
    regions: Tensor,
    words: Tensor,
    image_index: Tensor,
    caption_index: Tensor,
    region_counts: Tensor,
    word_counts: Tensor,
    rule: Similarity,
) -> Tensor:
    """`similarity_pairs` of checked inputs; encodes the images and captions that occur."""
    dtype = compute_dtype(regions, words)
    vectors_PV = []
    for pool, padded, counts, index in (
        (rule.pool_images, regions, region_counts, image_index),
        (rule.pool_captions, words, word_counts, caption_index),
    ):
        items, which_P = torch.unique(index, return_inverse=True)
        items = items if len(items) else torch.zeros(1, dtype=torch.int64)  # no pairs: a gradient of zero
        used = padded[items.to(padded.device)]
        vectors_UV = pooled_vectors(rule, pool, used, counts[items], dtype, DEFAULT_BUDGET)
        vectors_PV.append(vectors_UV[which_P.to(padded.device)])
    with full_precision(regions.device):
        return (vectors_PV[0] * vectors_PV[1]).sum(dim=-1)


def pooled_vectors(
    rule: Similarity,
    pool: Callable[[Side], Tensor],
    padded: Tensor,
    counts: Tensor,
    dtype: torch.dtype,
    budget: int,
) -> Tensor:
    """(n, V) one vector for each item of one side. Differentiable; recomputed in the backward pass.

    Args:
        rule: the similarity.
        pool: its `pool_images` or `pool_captions`.
        padded: (n, max rows, dim), whatever at padding.
        counts: (n,) int64 on the CPU.
        dtype: of computation.
        budget: bytes of working memory.

    Raises:
        ScanError: the pooling returns another shape.
    """

    def encode(rows: Tensor, counts_n: Tensor) -> Tensor:
        longest = int(counts_n.max())
        with full_precision(rows.device):
            real = real_positions(counts_n, longest, rows.device)
            found = pool(Side(zero_padding(rows[:, :longest], real, dtype), real))
        if found.dim() != 2 or len(found) != len(rows):
            raise ScanError(
                f"{type(rule).__name__}.{pool.__name__} returned shape {tuple(found.shape)}, "
                f"expected ({len(rows)}, V): one vector for each item"
            )
        return found.to(dtype)

    per_item = rule.floats_per_score * padded.shape[1] * padded.shape[2] * dtype.itemsize
    size = max(1, int(budget / per_item))
    chunks = zip(torch.split(padded, size), torch.split(counts, size), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([encode(*chunk) for chunk in chunks])
    return torch.cat(
        [checkpoint(encode, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
    )
