"""All pairs: one product per block, then what the similarity makes of its scores.

Shape legend: I images, R regions, X = I x R, C captions, W words, N packed word rows, D dimension.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scan_lightning.similarity import kernels
from scan_lightning.similarity.attention import Attention, score_group
from scan_lightning.similarity.base import Side, Similarity, is_vector_product, parameters_of, scores_of_pairs
from scan_lightning.similarity.inputs import (
    Pack,
    block_rows,
    check_budget,
    check_inputs,
    compute_dtype,
    pack,
    real_positions,
    sorted_blocks,
    zero_padding,
)
from scan_lightning.similarity.product import check_product, full_precision, scores_of
from scan_lightning.similarity.vectors import vector_matrix

FAST_COPIES = 4  # arrays of a block's size that the fast path of `Attention` holds without a gradient


def similarity_matrix(
    regions: Tensor,
    words: Tensor,
    rule: Similarity,
    *,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
    memory_budget: int | None = None,
    product: str = "fp32",
) -> Tensor:
    """Score every image against every caption.

    Differentiable, in the parameters of `rule` too; the backward pass recomputes its blocks, so memory stays
    within the budget there as well.

    Args:
        regions: (images, max_regions, dim) region embeddings, floating.
        words: (captions, max_words, dim) word embeddings, floating.
        rule: the similarity.
        region_counts: (images,) int, real regions of each image; None: all. Positions past a count are
            padding, whatever they hold, and never change a result.
        word_counts: (captions,) int, real words of each caption; None: all.
        memory_budget: bytes of working memory beside inputs, result and gradients; 512 MiB by default.
        product: precision of the forward product, `"fp32"`, `"tf32"` or `"bf16"` (see `product.scores_of`);
            everything after it, and the backward pass, is in full.

    Returns:
        (images, captions) similarities, float64 if an input is, else float32.

    Raises:
        ValueError: shapes, types, counts or settings that do not fit.
        ScanError: the similarity returns something of another shape.

    >>> from scan_lightning import SumMax
    >>> regions, words = torch.eye(3)[None], torch.eye(3)[None, :2]
    >>> similarity_matrix(regions, words, SumMax("t2i"))
    tensor([[2.]])
    """
    region_counts, word_counts = check_inputs(regions, words, rule, region_counts, word_counts)
    budget = check_budget(memory_budget)
    check_product(product)
    if is_vector_product(rule):
        return vector_matrix(regions, words, region_counts, word_counts, rule, budget, product)
    result: Tensor = _Matrix.apply(  # type: ignore[no-untyped-call]
        regions, words, region_counts, word_counts, rule, budget, product, *parameters_of(rule)
    )
    return result


class _Matrix(torch.autograd.Function):
    """All pairs in blocks; saves its inputs only and recomputes each block in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        regions: Tensor,
        words: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        rule: Similarity,
        budget: int,
        product: str,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(regions, words, *parameters)
        ctx.arguments = region_counts, word_counts, rule, budget
        dtype = compute_dtype(regions, words)
        scores = torch.empty(len(regions), len(words), dtype=dtype, device=regions.device)
        copies = FAST_COPIES if type(rule) is Attention else rule.floats_per_score
        region_rows, word_rows = block_rows(budget, regions.shape[2], dtype, regions.device, copies)
        with full_precision(regions.device):
            for captions in sorted_blocks(word_counts, word_rows):
                packed = pack(word_counts, captions, words.device)
                words_ND = packed.take(words).to(dtype)
                for images in sorted_blocks(region_counts, region_rows):
                    block = _ImageBlock(regions, region_counts, images, dtype)
                    scores_NX = scores_of(words_ND, block.regions_IRD.flatten(0, 1), product)
                    if kernels.usable(rule, scores_NX, block.regions_IRD.shape[1], packed.longest):
                        scores_CI = kernels.score_block_fused(
                            scores_NX, block.regions_IRD, block.counts_I, words_ND, packed, rule
                        )
                    else:
                        scores_CI = _score_block(scores_NX, block, words_ND, packed, rule)
                    scores[block.images[:, None], packed.captions] = scores_CI.T
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        regions, words, *saved = ctx.saved_tensors
        region_counts, word_counts, rule, budget = ctx.arguments
        dtype = compute_dtype(regions, words)
        grad_regions = torch.zeros(regions.shape, dtype=dtype, device=regions.device)
        grad_words = torch.zeros(words.shape, dtype=dtype, device=words.device)
        grad_parameters = [torch.zeros_like(parameter) for parameter in saved]
        copies = rule.floats_per_score
        region_rows, word_rows = block_rows(budget, regions.shape[2], dtype, regions.device, copies)
        with full_precision(regions.device), torch.enable_grad():
            for captions in sorted_blocks(word_counts, word_rows):
                packed = pack(word_counts, captions, words.device)
                words_ND = packed.take(words).to(dtype).detach().requires_grad_()
                for images in sorted_blocks(region_counts, region_rows):
                    block = _ImageBlock(regions, region_counts, images, dtype)
                    block.regions_IRD = block.regions_IRD.detach().requires_grad_()
                    scores_NX = scores_of(words_ND, block.regions_IRD.flatten(0, 1), "fp32")
                    scores_CI = _score_block(scores_NX, block, words_ND, packed, rule)
                    grad_CI = grad_scores[block.images[:, None], packed.captions].T.to(dtype)
                    grads = gradients(
                        scores_CI, (block.regions_IRD, words_ND), rule, grad_CI, grad_parameters
                    )
                    if grads[0] is not None:
                        block.add_to(grad_regions, grads[0])
                    if grads[1] is not None:
                        packed.add_to(grad_words, grads[1])
        none = (None,) * 5
        return grad_regions.to(regions.dtype), grad_words.to(words.dtype), *none, *grad_parameters


def gradients(
    scores: Tensor,
    leaves: tuple[Tensor, ...],
    rule: Similarity,
    grad_scores: Tensor,
    grad_parameters: list[Tensor],
) -> tuple[Tensor | None, ...]:
    """The gradients of a block's leaves; those of the parameters of `rule` are added to `grad_parameters`."""
    if not scores.requires_grad:
        return (None,) * len(leaves)
    parameters = parameters_of(rule)
    grads = torch.autograd.grad(scores, (*leaves, *parameters), grad_scores, allow_unused=True)
    for total, grad in zip(grad_parameters, grads[len(leaves) :], strict=True):
        if grad is not None:
            total += grad
    return grads[: len(leaves)]


class _ImageBlock:
    """Some images of a batch, cut to the block's longest and with zero padding."""

    def __init__(self, regions: Tensor, counts: Tensor, images: Tensor, dtype: torch.dtype) -> None:
        counts_I = counts[images]
        longest = int(counts_I.max())
        self.images = images.to(regions.device)
        self.counts_I = counts_I.to(regions.device)
        self.real_IR = real_positions(counts_I, longest, regions.device)
        first = int(images[0])
        neighbours = torch.equal(images, torch.arange(first, first + len(images)))  # a view instead of a copy
        rows = regions[first : first + len(images)] if neighbours else regions[self.images]
        self.regions_IRD = zero_padding(rows[:, :longest], self.real_IR, dtype)

    def add_to(self, grad_regions: Tensor, grad_IRD: Tensor) -> None:
        """Add the block's gradients to those of the whole batch, nothing to padding."""
        if self.real_IR is not None:
            grad_IRD = grad_IRD.masked_fill(~self.real_IR[:, :, None], 0)
        grad_regions[self.images, : grad_IRD.shape[1]] += grad_IRD


def _score_block(
    scores_NX: Tensor, block: _ImageBlock, words_ND: Tensor, packed: Pack, rule: Similarity
) -> Tensor:
    """Scores (C, I) of some images and packed captions, in packed order. Differentiable."""
    images, longest, dim = block.regions_IRD.shape
    regions = Side(block.regions_IRD, block.real_IR, lambda tensor: tensor[:, None])
    parts = []
    sizes = [captions * length for captions, length in packed.groups]  # split: its backward copies once
    for (captions, length), scores_MX, words_MD in zip(
        packed.groups, torch.split(scores_NX, sizes), torch.split(words_ND, sizes), strict=True
    ):
        scores_CWIR = scores_MX.view(captions, length, images, longest)
        words = Side(words_MD.view(captions, length, dim), None, lambda tensor: tensor[None])
        if type(rule) is Attention:
            parts.append(score_group(rule, scores_CWIR, regions, words))
        else:
            scores_ICWR = scores_CWIR.permute(2, 0, 1, 3)
            parts.append(scores_of_pairs(rule, scores_ICWR, regions, words).T)
    return torch.cat(parts)
