"""Chosen pairs of images and captions: what the hardest-negative loss differentiates (identity 2).

Shape legend: P pairs, R regions, W words, Q queries, K context, U distinct items of one side, D dimension.
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
    real_positions,
    silence,
)
from scan_lightning.similarity.normalise import norm
from scan_lightning.similarity.precision import full_precision
from scan_lightning.similarity.products import PairList
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

    Differentiable. Works in blocks of the default memory budget; kept for the backward pass is one number per
    pair, region and word, nothing per dimension.

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
    result: Tensor = _Pairs.apply(  # type: ignore[no-untyped-call]
        regions, words, image_index, caption_index, region_counts, word_counts, rule
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
        rule: Rule,
    ) -> Tensor:
        dtype = compute_dtype(regions, words)
        ctx.arguments = image_index, caption_index, region_counts, word_counts, rule
        result = torch.empty(len(image_index), dtype=dtype, device=regions.device)
        kept = []
        with full_precision(regions.device):
            for block in _blocks(regions, words, image_index, caption_index, region_counts, word_counts):
                scores_PWR = block.pairs.scores(regions, words, dtype)
                gram_UKK, norm_UQ = block.gram(rule), block.query_norm(rule)
                result[block.order] = _from_scores(scores_PWR, gram_UKK, norm_UQ, block, rule)
                if any(ctx.needs_input_grad):
                    kept.append(scores_PWR)
        ctx.save_for_backward(regions, words, *kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_result: Tensor) -> tuple[Tensor | None, ...]:
        regions, words, *kept = ctx.saved_tensors
        *arguments, rule = ctx.arguments
        dtype = compute_dtype(regions, words)
        grad_regions = torch.zeros(regions.shape, dtype=dtype, device=regions.device)
        grad_words = torch.zeros(words.shape, dtype=dtype, device=words.device)
        with full_precision(regions.device):
            for block, scores_PWR in zip(_blocks(regions, words, *arguments), kept, strict=True):
                leaves = [scores_PWR.detach().requires_grad_()]
                if isinstance(rule, Attention):
                    leaves += [block.gram(rule).requires_grad_(), block.query_norm(rule).requires_grad_()]
                with torch.enable_grad():
                    gram_UKK, norm_UQ = leaves[1:] if len(leaves) == 3 else (scores_PWR, scores_PWR)
                    result_P = _from_scores(leaves[0], gram_UKK, norm_UQ, block, rule)
                grads = torch.autograd.grad(result_P, leaves, grad_result[block.order].to(dtype))
                block.pairs.add_gradients(grads[0], regions, words, grad_regions, grad_words)
                if isinstance(rule, Attention):
                    query, context = block.sides(rule)
                    into = (grad_words, grad_regions) if rule.query == "word" else (grad_regions, grad_words)
                    query.add_norm_gradient(leaves[2].detach(), grads[2], into[0])
                    context.add_gram_gradient(grads[1], into[1])
        return grad_regions.to(regions.dtype), grad_words.to(words.dtype), None, None, None, None, None


class _Side:
    """The distinct images, or captions, of a block of pairs: what depends on one side is computed once."""

    def __init__(
        self, padded: Tensor, counts: Tensor, index: Tensor, longest: int, dtype: torch.dtype
    ) -> None:
        items, which_P = torch.unique(index, return_inverse=True)
        self.which_P = which_P.to(padded.device)
        self._items: Tensor | slice = items.to(padded.device)
        if len(items) == len(padded):
            self._items = slice(None)  # all of them: nothing to copy
        real_UX = real_positions(counts[items], longest, padded.device)
        self.rows_UXD = silence(padded[self._items, :longest], real_UX, dtype)

    def add_gram_gradient(self, grad_UXX: Tensor, into: Tensor) -> None:
        """Through G = X X^T; padding rows get nothing, for the weights there are zero."""
        symmetric_UXX = grad_UXX + grad_UXX.mT
        into[self._items, : self.rows_UXD.shape[1]] += symmetric_UXX @ self.rows_UXD

    def add_norm_gradient(self, norm_UX: Tensor, grad_UX: Tensor, into: Tensor) -> None:
        """Through |x|; zero at a zero row."""
        scale_UX = torch.where(norm_UX > 0, grad_UX / norm_UX, 0)
        into[self._items, : self.rows_UXD.shape[1]] += scale_UX[:, :, None] * self.rows_UXD


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
        self.word_counts_P = self.pairs.word_counts.to(regions.device)
        self.region_counts_P = self.pairs.region_counts.to(regions.device)
        self._images = _Side(regions, region_counts, images, self.pairs.longest_R, dtype)
        self._captions = _Side(words, word_counts, captions, self.pairs.longest_W, dtype)

    def sides(self, rule: Rule) -> tuple[_Side, _Side]:
        """Who asks, and the context."""
        return (self._captions, self._images) if rule.query == "word" else (self._images, self._captions)

    def gram(self, rule: Rule) -> Tensor:
        """Gram matrices (U, K, K) of the distinct contexts."""
        rows_UKD = self.sides(rule)[1].rows_UXD
        return rows_UKD @ rows_UKD.mT

    def query_norm(self, rule: Rule) -> Tensor:
        """Norms (U, Q) of the distinct queries."""
        return norm(self.sides(rule)[0].rows_UXD, 2, keepdim=False)


def _from_scores(scores_PWR: Tensor, gram_UKK: Tensor, norm_UQ: Tensor, block: _Block, rule: Rule) -> Tensor:
    """Similarities (P,) from the raw scores; differentiable in its three tensors."""
    real_PW1 = None if block.pairs.real_PW is None else block.pairs.real_PW[:, :, None]
    real_P1R = None if block.pairs.real_PR is None else block.pairs.real_PR[:, None, :]
    if rule.query == "word":
        query_dim, context_dim, real_query, real_context = 1, 2, real_PW1, real_P1R
        real_PQ, queries_P = block.pairs.real_PW, block.word_counts_P
    else:
        query_dim, context_dim, real_query, real_context = 2, 1, real_P1R, real_PW1
        real_PQ, queries_P = block.pairs.real_PR, block.region_counts_P
    if isinstance(rule, Attention):
        query, context = block.sides(rule)
        gram_PKK = gram_UKK[context.which_P]

        def times_gram(weights_PWR: Tensor) -> Tensor:
            return weights_PWR @ gram_PKK if context_dim == 2 else gram_PKK @ weights_PWR

        weights_PWR = formula.attention_weights(
            scores_PWR, rule, query_dim, context_dim, real_query, real_context
        )
        norm_PQ = norm_UQ[query.which_P]
        relevance_PQ = formula.relevance(scores_PWR, weights_PWR, times_gram, norm_PQ, context_dim)
    else:
        relevance_PQ = formula.best_scores(scores_PWR, context_dim, real_context)
    return formula.pool(relevance_PQ, rule, 1, real_PQ, queries_P.to(scores_PWR.dtype))


def _blocks(
    regions: Tensor,
    words: Tensor,
    image_index: Tensor,
    caption_index: Tensor,
    region_counts: Tensor,
    word_counts: Tensor,
) -> Iterator[_Block]:
    """Pairs sorted by image and cut by the default memory budget; the same blocks for the same arguments."""
    per_pair = (regions.shape[1] + words.shape[1]) * regions.shape[2] * compute_dtype(regions, words).itemsize
    limit = max(1, DEFAULT_BUDGET // (4 * per_pair))  # operands and their gradients, twice
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
