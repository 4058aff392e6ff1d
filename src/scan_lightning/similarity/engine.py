"""The exact fast engine: one product per block, then the Gram form of the method on its scores.

Shape legend: I images, R regions, X = I x R, C captions, N packed word rows, D dimension.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scan_lightning.similarity import kernels
from scan_lightning.similarity.blocks import block_size, sorted_blocks
from scan_lightning.similarity.inputs import (
    check_budget,
    check_inputs,
    compute_dtype,
    real_positions,
    silence,
)
from scan_lightning.similarity.packing import pack
from scan_lightning.similarity.precision import check_product, full_precision, scores_of
from scan_lightning.similarity.rule import Rule
from scan_lightning.similarity.scoring import score_block


def similarity_matrix(
    regions: Tensor,
    words: Tensor,
    rule: Rule,
    *,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
    memory_budget: int | None = None,
    product: str = "fp32",
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
        product: precision of the forward product, `"fp32"`, `"tf32"` or `"bf16"` (see `precision.scores_of`);
            everything after it, and the backward pass, is in full.

    Returns:
        (images, captions) similarities, float64 if an input is, else float32.

    Raises:
        ValueError: shapes, types, counts or settings that do not fit.

    >>> regions, words = torch.eye(3)[None], torch.eye(3)[None, :2]
    >>> similarity_matrix(regions, words, SumMax("t2i"))
    tensor([[2.]])
    """
    region_counts, word_counts = check_inputs(regions, words, rule, region_counts, word_counts)
    budget = check_budget(memory_budget)
    check_product(product)
    result: Tensor = _Matrix.apply(  # type: ignore[no-untyped-call]
        regions, words, region_counts, word_counts, rule, budget, product
    )
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
        product: str,
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
                    scores_NX = scores_of(words_ND, block.regions_IRD.flatten(0, 1), product)
                    if kernels.usable(scores_NX, block.regions_IRD.shape[1], packed.groups[-1].length):
                        scores_CI = kernels.score_block_fused(
                            scores_NX, block.regions_IRD, block.counts_I, words_ND, packed, rule
                        )
                    else:
                        scores_CI = score_block(
                            scores_NX,
                            block.regions_IRD,
                            block.real_IR,
                            block.counts_I,
                            words_ND,
                            packed,
                            rule,
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
                    scores_NX = scores_of(words_ND, regions_IRD.flatten(0, 1), "fp32")
                    scores_CI = score_block(
                        scores_NX, regions_IRD, block.real_IR, block.counts_I, words_ND, packed, rule
                    )
                    grad_CI = grad_scores[block.images[:, None], packed.captions].T
                    grad_IRD, grad_ND = torch.autograd.grad(scores_CI, (regions_IRD, words_ND), grad_CI)
                    block.put_back(grad_IRD, grad_regions)
                    packed.put_back(grad_ND, grad_words)
        return grad_regions.to(regions.dtype), grad_words.to(words.dtype), None, None, None, None, None


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
