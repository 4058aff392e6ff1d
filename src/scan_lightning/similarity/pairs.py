"""Chosen pairs of images and captions: what the hardest-negative loss differentiates (identity 2).

Shape legend: P pairs, R regions, W words, X rows of a side, U distinct items of one side, D dimension.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scan_lightning.similarity.base import Side, Similarity, is_vector_product, parameters_of, scores_of_pairs
from scan_lightning.similarity.engine import gradients
from scan_lightning.similarity.inputs import (
    DEFAULT_BUDGET,
    check_inputs,
    compute_dtype,
    real_positions,
    zero_padding,
)
from scan_lightning.similarity.product import PairList, full_precision
from scan_lightning.similarity.vectors import vector_pairs


def similarity_pairs(
    regions: Tensor,
    words: Tensor,
    image_index: Tensor,
    caption_index: Tensor,
    rule: Similarity,
    *,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
) -> Tensor:
    """Score chosen pairs only: pair p is image `image_index[p]` with caption `caption_index[p]`.

    Differentiable, in the parameters of `rule` too, also when there are no pairs. Works in blocks of the
    default memory budget; kept for the backward pass is one number per pair, region and word, nothing per
    dimension.

    Args:
        regions: (images, max_regions, dim) region embeddings.
        words: (captions, max_words, dim) word embeddings.
        image_index: (pairs,) int; any order, repeats allowed.
        caption_index: (pairs,) int.
        rule: the similarity.
        region_counts: (images,) int, real regions of each image; None: all.
        word_counts: (captions,) int, real words of each caption; None: all.

    Returns:
        (pairs,) similarities, float64 if an input is, else float32.

    Raises:
        ValueError: shapes, types, counts or indices that do not fit.
        ScanError: the similarity returns something of another shape.

    >>> from scan_lightning import SumMax
    >>> regions, words = torch.eye(3)[None], torch.eye(3)[None, :2]
    >>> similarity_pairs(regions, words, [0, 0], [0, 0], SumMax("t2i"))
    tensor([2., 2.])
    """
    region_counts, word_counts = check_inputs(regions, words, rule, region_counts, word_counts)
    image_index = _check_index("image_index", image_index, len(regions))
    caption_index = _check_index("caption_index", caption_index, len(words))
    if len(image_index) != len(caption_index):
        raise ValueError(
            "image_index and caption_index must be equally long, "
            f"not {len(image_index)} and {len(caption_index)}"
        )
    if is_vector_product(rule):
        return vector_pairs(regions, words, image_index, caption_index, region_counts, word_counts, rule)
    result: Tensor = _Pairs.apply(  # type: ignore[no-untyped-call]
        regions, words, image_index, caption_index, region_counts, word_counts, rule, *parameters_of(rule)
    )
    return result


class _Pairs(torch.autograd.Function):
    """Pairs in blocks. Keeps their raw scores and recomputes what follows from them."""

    @staticmethod
    def forward(
        ctx: Any,
        regions: Tensor,
        words: Tensor,
        image_index: Tensor,
        caption_index: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        rule: Similarity,
        *parameters: Tensor,
    ) -> Tensor:
        dtype = compute_dtype(regions, words)
        ctx.arguments = image_index, caption_index, region_counts, word_counts, rule
        result = torch.empty(len(image_index), dtype=dtype, device=regions.device)
        kept = []
        with full_precision(regions.device):
            for block in _blocks(regions, words, *ctx.arguments):
                scores_PWR = block.pairs.scores(regions, words, dtype)
                result[block.order] = block.similarities(scores_PWR, rule)
                if any(ctx.needs_input_grad):
                    kept.append(scores_PWR)
        ctx.parameters = len(parameters)
        ctx.save_for_backward(regions, words, *parameters, *kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_result: Tensor) -> tuple[Tensor | None, ...]:
        regions, words, *saved = ctx.saved_tensors
        parameters, kept = saved[: ctx.parameters], saved[ctx.parameters :]
        rule = ctx.arguments[-1]
        dtype = compute_dtype(regions, words)
        grad_regions = torch.zeros(regions.shape, dtype=dtype, device=regions.device)
        grad_words = torch.zeros(words.shape, dtype=dtype, device=words.device)
        grad_parameters = [torch.zeros_like(parameter) for parameter in parameters]
        with full_precision(regions.device):
            for block, scores_PWR in zip(_blocks(regions, words, *ctx.arguments), kept, strict=True):
                leaves = (scores_PWR.detach(), block.images.rows_UXD, block.captions.rows_UXD)
                for leaf in leaves:
                    leaf.requires_grad_()
                with torch.enable_grad():
                    result_P = block.similarities(leaves[0], rule)
                grads = gradients(result_P, leaves, rule, grad_result[block.order].to(dtype), grad_parameters)
                if grads[0] is not None:
                    block.pairs.add_gradients(grads[0], regions, words, grad_regions, grad_words)
                block.images.add_to(grad_regions, grads[1])
                block.captions.add_to(grad_words, grads[2])
        none = (None,) * 5
        return grad_regions.to(regions.dtype), grad_words.to(words.dtype), *none, *grad_parameters


class _Items:
    """The distinct images, or captions, of a block of pairs: what depends on one side is computed once."""

    def __init__(
        self, padded: Tensor, counts: Tensor, index: Tensor, longest: int, dtype: torch.dtype
    ) -> None:
        items, which_P = torch.unique(index, return_inverse=True)
        self._which_P = which_P.to(padded.device)
        self._items: Tensor | slice = items.to(padded.device)
        if len(items) == len(padded):
            self._items = slice(None)  # all of them: nothing to copy
        self._real_UX = real_positions(counts[items], longest, padded.device)
        self.rows_UXD = zero_padding(padded[self._items, :longest], self._real_UX, dtype).detach()

    def side(self) -> Side:
        """What the similarity sees of the block's pairs."""
        return Side(self.rows_UXD, self._real_UX, lambda tensor: tensor[self._which_P])

    def add_to(self, grad_padded: Tensor, grad_UXD: Tensor | None) -> None:
        """Add the gradient of the rows to that of the whole batch, nothing to padding."""
        if grad_UXD is None:
            return
        if self._real_UX is not None:
            grad_UXD = grad_UXD.masked_fill(~self._real_UX[:, :, None], 0)
        grad_padded[self._items, : grad_UXD.shape[1]] += grad_UXD


class _Block:
    """Some pairs, sorted by image, with their two sides."""

    def __init__(
        self,
        regions: Tensor,
        words: Tensor,
        images: Tensor,
        captions: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        order: Tensor,
    ) -> None:
        dtype = compute_dtype(regions, words)
        self.order = order.to(regions.device)
        self.pairs = PairList(images, captions, region_counts, word_counts, regions.device)
        self.images = _Items(regions, region_counts, images, self.pairs.longest_R, dtype)
        self.captions = _Items(words, word_counts, captions, self.pairs.longest_W, dtype)

    def similarities(self, scores_PWR: Tensor, rule: Similarity) -> Tensor:
        """(P,), differentiable in the scores and the rows of both sides."""
        return scores_of_pairs(rule, scores_PWR, self.images.side(), self.captions.side())


def _blocks(
    regions: Tensor,
    words: Tensor,
    image_index: Tensor,
    caption_index: Tensor,
    region_counts: Tensor,
    word_counts: Tensor,
    rule: Similarity,
) -> Iterator[_Block]:
    """Pairs sorted by image and cut by the default memory budget; the same blocks for the same arguments."""
    longest_R, longest_W, dim = regions.shape[1], words.shape[1], regions.shape[2]
    numbers = 4 * (longest_R + longest_W) * dim  # operands and their gradients, twice
    numbers += int(rule.floats_per_score * longest_R * longest_W)
    limit = max(1, DEFAULT_BUDGET // (numbers * compute_dtype(regions, words).itemsize))
    order_all = image_index.argsort(stable=True)
    for order in torch.split(order_all, limit) if len(order_all) else ():
        yield _Block(
            regions, words, image_index[order], caption_index[order], region_counts, word_counts, order
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
