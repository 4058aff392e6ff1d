"""The exact fast engine: one product per block, then the Gram form of the method on its scores.

Shape legend: I images, R regions, C captions of one length, W their words, N packed word rows, D dimension.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scan_lightning.similarity import formula
from scan_lightning.similarity.blocks import block_size, sorted_blocks
from scan_lightning.similarity.inputs import (
    check_budget,
    check_inputs,
    compute_dtype,
    full_precision,
    real_positions,
    silence,
)
from scan_lightning.similarity.normalise import norm
from scan_lightning.similarity.packing import Group, Pack, pack
from scan_lightning.similarity.rule import Attention, Rule


def similarity_matrix(
    regions: Tensor,
    words: Tensor,
    rule: Rule,
    *,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
    memory_budget: int | None = None,
) -> Tensor:
    """Score every image against every caption.

    Differentiable; the backward pass recomputes its blocks, so memory stays within the budget there too.

    Args:
        regions: (images, max_regions, dim) region embeddings, floating.
        words: (captions, max_words, dim) word embeddings, floating.
        rule: `Attention` or `SumMax`.
        region_counts: (images,) int, real regions of each image; None: all. Positions past a count are
            padding, whatever they hold, and never change a result.
        word_counts: (captions,) int, real words of each caption; None: all.
        memory_budget: bytes of working memory beside inputs, result and gradients; 512 MiB by default.

    Returns:
        (images, captions) similarities, float64 if an input is, else float32.

    Raises:
        ValueError: shapes, types, counts or budget that do not fit.

    >>> regions, words = torch.eye(3)[None], torch.eye(3)[None, :2]
    >>> similarity_matrix(regions, words, SumMax("t2i"))
    tensor([[2.]])
    """
    region_counts, word_counts = check_inputs(regions, words, rule, region_counts, word_counts)
    budget = check_budget(memory_budget)
    result: Tensor = _Matrix.apply(regions, words, region_counts, word_counts, rule, budget)  # type: ignore[no-untyped-call]
    return result


class _Matrix(torch.autograd.Function):
    """All pairs in blocks; saves the embeddings only and recomputes each block in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        regions: Tensor,
        words: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        rule: Rule,
        budget: int,
    ) -> Tensor:
        ctx.save_for_backward(regions, words)
        ctx.arguments = region_counts, word_counts, rule, budget
        dtype = compute_dtype(regions, words)
        scores = torch.empty(len(regions), len(words), dtype=dtype, device=regions.device)
        size = block_size(budget, regions.shape[2], dtype, regions.device, copies=4)
        with full_precision(regions.device):
            for captions in sorted_blocks(word_counts, size.word_rows):
                packed = pack(word_counts, captions).to(words.device)
                words_ND = packed.take(words).to(dtype)
                for images in sorted_blocks(region_counts, size.region_rows):
                    block = _ImageBlock(regions, region_counts, images, dtype)
                    scores_CI = score_block(
                        block.regions_IRD, block.real_IR, block.counts_I, words_ND, packed, rule
                    )
                    scores[block.images[:, None], packed.captions] = scores_CI.T
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        regions, words = ctx.saved_tensors
        region_counts, word_counts, rule, budget = ctx.arguments
        dtype = compute_dtype(regions, words)
        grad_regions = torch.zeros(regions.shape, dtype=dtype, device=regions.device)
        grad_words = torch.zeros(words.shape, dtype=dtype, device=words.device)
        size = block_size(budget, regions.shape[2], dtype, regions.device, copies=12)
        with full_precision(regions.device), torch.enable_grad():
            for captions in sorted_blocks(word_counts, size.word_rows):
                packed = pack(word_counts, captions).to(words.device)
                words_ND = packed.take(words).to(dtype).detach().requires_grad_()
                for images in sorted_blocks(region_counts, size.region_rows):
                    block = _ImageBlock(regions, region_counts, images, dtype)
                    regions_IRD = block.regions_IRD.detach().requires_grad_()
                    scores_CI = score_block(
                        regions_IRD, block.real_IR, block.counts_I, words_ND, packed, rule
                    )
                    grad_CI = grad_scores[block.images[:, None], packed.captions].T
                    grad_IRD, grad_ND = torch.autograd.grad(scores_CI, (regions_IRD, words_ND), grad_CI)
                    block.put_back(grad_IRD, grad_regions)
                    packed.put_back(grad_ND, grad_words)
        return grad_regions.to(regions.dtype), grad_words.to(words.dtype), None, None, None, None


class _ImageBlock:
    """Some images of a batch, cut to the block's longest and with silent padding."""

    def __init__(self, regions: Tensor, counts: Tensor, images: Tensor, dtype: torch.dtype) -> None:
        counts_I = counts[images]
        longest = int(counts_I.max())
        self.images = images.to(regions.device)
        self.counts_I = counts_I.to(regions.device)
        self.real_IR = real_positions(counts_I, longest, regions.device)
        first = int(images[0])
        neighbours = torch.equal(images, torch.arange(first, first + len(images)))  # a view instead of a copy
        rows = regions[first : first + len(images)] if neighbours else regions[self.images]
        self.regions_IRD = silence(rows[:, :longest], self.real_IR, dtype)

    def put_back(self, grad_IRD: Tensor, into: Tensor) -> None:
        """Add the block's gradients to those of the whole batch, nothing to padding."""
        if self.real_IR is not None:
            grad_IRD = grad_IRD.masked_fill(~self.real_IR[:, :, None], 0)
        into[self.images, : grad_IRD.shape[1]] += grad_IRD


def score_block(
    regions_IRD: Tensor, real_IR: Tensor | None, counts_I: Tensor, words_ND: Tensor, packed: Pack, rule: Rule
) -> Tensor:
    """Score one block: some images against some packed captions. Differentiable.

    Args:
        regions_IRD: regions, zero at padding.
        real_IR: bool, True at real regions; None: no padding.
        counts_I: real regions of each image.
        words_ND: packed words.
        packed: how the words are packed.
        rule: what is computed.

    Returns:
        (captions in packed order, I) scores.
    """
    images, regions, dim = regions_IRD.shape
    scores_NIR = (words_ND @ regions_IRD.reshape(images * regions, dim).T).view(-1, images, regions)
    gram_IRR = regions_IRD @ regions_IRD.mT if isinstance(rule, Attention) and rule.query == "word" else None
    region_norm_IR = (
        norm(regions_IRD, 2, keepdim=False)
        if isinstance(rule, Attention) and rule.query == "region"
        else None
    )
    parts = []
    sizes = [group.captions * group.length for group in packed.groups]  # split: its backward copies once
    for group, scores_XIR, words_XD in zip(
        packed.groups, torch.split(scores_NIR, sizes), torch.split(words_ND, sizes), strict=True
    ):
        scores_CWIR = scores_XIR.view(group.captions, group.length, images, regions)
        words_CWD = words_XD.view(group.captions, group.length, dim)
        if rule.query == "word":
            parts.append(_words_ask(scores_CWIR, words_CWD, gram_IRR, real_IR, rule, group))
        else:
            parts.append(_regions_ask(scores_CWIR, words_CWD, region_norm_IR, real_IR, counts_I, rule))
    return torch.cat(parts)


def _words_ask(
    scores_CWIR: Tensor,
    words_CWD: Tensor,
    gram_IRR: Tensor | None,
    real_IR: Tensor | None,
    rule: Rule,
    group: Group,
) -> Tensor:
    """t2i scores (C, I) of one group."""
    queries = torch.tensor(float(group.length), dtype=scores_CWIR.dtype, device=scores_CWIR.device)
    if not isinstance(rule, Attention):
        relevance_CWI = formula.best_scores(scores_CWIR, 3, real_IR)
        return formula.pool(relevance_CWI, rule, 1, None, queries)

    def times_gram(weights_CWIR: Tensor) -> Tensor:
        assert gram_IRR is not None
        weights_IXR = weights_CWIR.flatten(0, 1).transpose(0, 1)
        return (weights_IXR @ gram_IRR).transpose(0, 1).view_as(weights_CWIR)

    weights_CWIR = formula.attention_weights(scores_CWIR, rule, 1, 3, None, real_IR)
    word_norm_CW1 = norm(words_CWD, 2)
    relevance_CWI = formula.relevance(scores_CWIR, weights_CWIR, times_gram, word_norm_CW1, 3)
    return formula.pool(relevance_CWI, rule, 1, None, queries)


def _regions_ask(
    scores_CWIR: Tensor,
    words_CWD: Tensor,
    region_norm_IR: Tensor | None,
    real_IR: Tensor | None,
    counts_I: Tensor,
    rule: Rule,
) -> Tensor:
    """i2t scores (C, I) of one group."""
    queries_I = counts_I.to(scores_CWIR.dtype)
    if not isinstance(rule, Attention):
        return formula.pool(formula.best_scores(scores_CWIR, 1, None), rule, 2, real_IR, queries_I)
    gram_CWW = words_CWD @ words_CWD.mT

    def times_gram(weights_CWIR: Tensor) -> Tensor:
        return (gram_CWW @ weights_CWIR.flatten(2)).view_as(weights_CWIR)

    assert region_norm_IR is not None
    weights_CWIR = formula.attention_weights(scores_CWIR, rule, 3, 1, real_IR, None)
    relevance_CIR = formula.relevance(scores_CWIR, weights_CWIR, times_gram, region_norm_IR, 1)
    return formula.pool(relevance_CIR, rule, 2, real_IR, queries_I)
