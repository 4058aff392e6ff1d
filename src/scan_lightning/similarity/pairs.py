"""Chosen pairs of images and captions, in blocks, with recompute in the backward pass (identity 2).

Shape legend: P pairs of a block, R regions, W words, D dimension.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scan_lightning.similarity import formula
from scan_lightning.similarity.inputs import (
    DEFAULT_BUDGET,
    check_inputs,
    compute_dtype,
    full_precision,
    real_positions,
    silence,
)
from scan_lightning.similarity.normalise import norm
from scan_lightning.similarity.rule import Attention, Rule


def similarity_pairs(
    regions: Tensor,
    words: Tensor,
    image_index: Tensor,
    caption_index: Tensor,
    rule: Rule,
    *,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
) -> Tensor:
    """Score chosen pairs only: pair p is image `image_index[p]` with caption `caption_index[p]`.

    Differentiable in memory that does not grow with the number of pairs.

    Args:
        regions: (images, max_regions, dim) region embeddings.
        words: (captions, max_words, dim) word embeddings.
        image_index: (pairs,) int; any order, repeats allowed.
        caption_index: (pairs,) int.
        rule: `Attention` or `SumMax`.
        region_counts: (images,) int, real regions of each image; None: all.
        word_counts: (captions,) int, real words of each caption; None: all.

    Returns:
        (pairs,) similarities, float64 if an input is, else float32.

    Raises:
        ValueError: shapes, types, counts or indices that do not fit.
    """
    region_counts, word_counts = check_inputs(regions, words, rule, region_counts, word_counts)
    image_index = _check_index("image_index", image_index, len(regions))
    caption_index = _check_index("caption_index", caption_index, len(words))
    if len(image_index) != len(caption_index):
        raise ValueError(
            "image_index and caption_index must be equally long, "
            f"not {len(image_index)} and {len(caption_index)}"
        )
    result: Tensor = _Pairs.apply(  # type: ignore[no-untyped-call]
        regions, words, image_index, caption_index, region_counts, word_counts, rule
    )
    return result


class _Pairs(torch.autograd.Function):
    """Pairs in blocks; saves the embeddings only."""

    @staticmethod
    def forward(
        ctx: Any,
        regions: Tensor,
        words: Tensor,
        image_index: Tensor,
        caption_index: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        rule: Rule,
    ) -> Tensor:
        ctx.save_for_backward(regions, words)
        ctx.arguments = image_index, caption_index, region_counts, word_counts, rule
        dtype = compute_dtype(regions, words)
        scores = torch.empty(len(image_index), dtype=dtype, device=regions.device)
        with full_precision(regions.device):
            for block in _blocks(regions, words, image_index, caption_index, region_counts, word_counts):
                scores[block.pairs] = block.score(block.regions_PRD, block.words_PWD, rule)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        regions, words = ctx.saved_tensors
        image_index, caption_index, region_counts, word_counts, rule = ctx.arguments
        dtype = compute_dtype(regions, words)
        grad_regions = torch.zeros(regions.shape, dtype=dtype, device=regions.device)
        grad_words = torch.zeros(words.shape, dtype=dtype, device=words.device)
        with full_precision(regions.device):
            for block in _blocks(regions, words, image_index, caption_index, region_counts, word_counts):
                with torch.enable_grad():
                    regions_PRD = block.regions_PRD.detach().requires_grad_()
                    words_PWD = block.words_PWD.detach().requires_grad_()
                    scores_P = block.score(regions_PRD, words_PWD, rule)
                    grads = torch.autograd.grad(
                        scores_P, (regions_PRD, words_PWD), grad_scores[block.pairs].to(dtype)
                    )
                block.put_back(grads[0], grads[1], grad_regions, grad_words)
        return grad_regions.to(regions.dtype), grad_words.to(words.dtype), None, None, None, None, None


class _PairBlock:
    """Some pairs, gathered, cut to the longest of the block and with silent padding."""

    def __init__(
        self,
        regions: Tensor,
        words: Tensor,
        images: Tensor,
        captions: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        pairs: Tensor,
    ) -> None:
        device, dtype = regions.device, compute_dtype(regions, words)
        region_counts_P, word_counts_P = region_counts[images], word_counts[captions]
        longest_R, longest_W = int(region_counts_P.max()), int(word_counts_P.max())
        self.pairs, self.images, self.captions = pairs.to(device), images.to(device), captions.to(device)
        self.real_PR = real_positions(region_counts_P, longest_R, device)
        self.real_PW = real_positions(word_counts_P, longest_W, device)
        self.region_counts_P, self.word_counts_P = region_counts_P.to(device), word_counts_P.to(device)
        self.regions_PRD = silence(regions[self.images, :longest_R], self.real_PR, dtype)
        self.words_PWD = silence(words[self.captions, :longest_W], self.real_PW, dtype)

    def score(self, regions_PRD: Tensor, words_PWD: Tensor, rule: Rule) -> Tensor:
        """Scores (P,) of the block's pairs, differentiable."""
        word_side = words_PWD, self.real_PW, self.word_counts_P
        region_side = regions_PRD, self.real_PR, self.region_counts_P
        query, context = (word_side, region_side) if rule.query == "word" else (region_side, word_side)
        return _score(*query, *context[:2], rule)

    def put_back(self, grad_PRD: Tensor, grad_PWD: Tensor, grad_regions: Tensor, grad_words: Tensor) -> None:
        """Add the block's gradients to those of the batch, nothing to padding."""
        for grad, real, index, into in (
            (grad_PRD, self.real_PR, self.images, grad_regions),
            (grad_PWD, self.real_PW, self.captions, grad_words),
        ):
            grad = grad if real is None else grad.masked_fill(~real[:, :, None], 0)
            into[:, : grad.shape[1]].index_add_(0, index, grad)


def _score(
    query_PQD: Tensor,
    real_PQ: Tensor | None,
    counts_P: Tensor,
    context_PKD: Tensor,
    real_PK: Tensor | None,
    rule: Rule,
) -> Tensor:
    scores_PQK = query_PQD @ context_PKD.mT
    real_PQ1 = None if real_PQ is None else real_PQ[:, :, None]
    real_P1K = None if real_PK is None else real_PK[:, None, :]
    if isinstance(rule, Attention):
        gram_PKK = context_PKD @ context_PKD.mT
        weights_PQK = formula.attention_weights(scores_PQK, rule, 1, 2, real_PQ1, real_P1K)
        query_norm_PQ = norm(query_PQD, 2, keepdim=False)
        relevance_PQ = formula.relevance(scores_PQK, weights_PQK, lambda w: w @ gram_PKK, query_norm_PQ, 2)
    else:
        relevance_PQ = formula.best_scores(scores_PQK, 2, real_P1K)
    return formula.pool(relevance_PQ, rule, 1, real_PQ, counts_P.to(scores_PQK.dtype))


def _blocks(
    regions: Tensor,
    words: Tensor,
    image_index: Tensor,
    caption_index: Tensor,
    region_counts: Tensor,
    word_counts: Tensor,
) -> Iterator[_PairBlock]:
    """Pairs sorted by caption length (so little padding is multiplied), cut by the default memory budget."""
    per_pair = (regions.shape[1] + words.shape[1]) * regions.shape[2] * compute_dtype(regions, words).itemsize
    # the operands, their gradients, and a cleaned copy; on the CPU small blocks serve the caches as well
    limit = max(1, DEFAULT_BUDGET // (6 * per_pair))
    order = word_counts[caption_index].argsort(stable=True)
    for pairs in torch.split(order, limit):
        yield _PairBlock(
            regions, words, image_index[pairs], caption_index[pairs], region_counts, word_counts, pairs
        )


def _check_index(name: str, index: Tensor, items: int) -> Tensor:
    """The index on the CPU, checked."""
    index = torch.as_tensor(index).cpu()
    if index.dim() != 1 or index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ValueError(
            f"{name} must be a vector of integers, not {index.dtype} of shape {tuple(index.shape)}"
        )
    index = index.to(torch.int64)
    outside = (index < 0) | (index >= items)
    if bool(outside.any()):
        where = int(outside.nonzero()[0])
        raise ValueError(f"{name} must be in 0..{items - 1}; {name}[{where}] is {int(index[where])}")
    return index
