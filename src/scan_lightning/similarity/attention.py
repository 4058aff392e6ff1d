"""Stacked cross attention on raw scores, without ever forming an attended vector (identity 1, Gram).

For weights w over context rows c with G = C C^T, the attended vector a = C^T w has |a|^2 = w^T G w and
q . a = w . s, where s are the raw scores of query q. Everything after the product therefore costs a factor
D / K less than the product itself.

Shape legend: I images, R regions, C captions of one length, W their words, K context, D dimension.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor

from scan_lightning.options import Range
from scan_lightning.similarity.base import Side, Similarity, broadcast_matmul, norm, safe_sqrt
from scan_lightning.similarity.inputs import check_inputs, compute_dtype
from scan_lightning.similarity.product import full_precision

Direction = Literal["t2i", "i2t"]
RawNorm = Literal["clipped_l2norm", "l2norm", "clipped_l1norm", "l1norm", "clipped", "softmax", "no_norm"]
Aggregation = Literal["lse", "mean", "max", "sum"]
Positive = Annotated[float, Range(above=0)]

EPS = 1e-8
SLOPE = 0.1  # the paper clips with max(x, 0); the released code, which made its numbers, with this LeakyReLU


class Pooled(Similarity):
    """A similarity that pools one relevance for each query; `explain` gives the relevances."""

    direction: Direction
    aggregation: Aggregation
    lse_scale: float

    def forward(self, scores: Tensor, regions: Side, words: Side) -> Tensor:
        """As `Similarity.forward`."""
        query = words if self.direction == "t2i" else regions
        return self.pool(self.relevance(scores, regions, words), query.padding, query.count)

    def relevance(self, scores: Tensor, regions: Side, words: Side) -> Tensor:
        """(..., queries) what each query contributes."""
        return self.explain(scores, regions, words)[1]

    def pool(self, relevance: Tensor, padding: Tensor | None, count: Tensor | float, dim: int = -1) -> Tensor:
        """Step 5: one score from the relevances of the queries.

        Args:
            relevance: (..., queries).
            padding: bool, broadcastable to `relevance`, True at padding queries; None: there is none.
            count: number of real queries, broadcastable to the result.
            dim: the axis of the queries.
        """
        if padding is not None:
            filling = 0.0 if self.aggregation in ("mean", "sum") else -torch.inf
            relevance = relevance.masked_fill(padding, filling)
        match self.aggregation:
            case "lse":
                return torch.logsumexp(self.lse_scale * relevance, dim=dim) / self.lse_scale
            case "max":
                return relevance.amax(dim=dim)
            case "mean":
                return relevance.sum(dim=dim) / count
        return relevance.sum(dim=dim)


class Attention(Pooled):
    """Stacked cross attention (paper, sections 3.1 and 3.2).

    Args:
        direction: the queries. `"t2i"`: words attend to regions; `"i2t"`: regions attend to words.
        smoothing: inverse temperature of the attention softmax, lambda_1.
        raw_norm: how raw scores are normalised along the query axis.
        aggregation: how the relevances of the queries become one score.
        lse_scale: inverse temperature of LogSumExp pooling, lambda_2, used by `"lse"` only.

    Raises:
        ValueError: an argument outside its allowed values.

    >>> Attention(direction="i2t", smoothing=4.0, aggregation="mean")
    Attention(direction='i2t', smoothing=4.0, raw_norm='clipped_l2norm', aggregation='mean', lse_scale=6.0)
    """

    def __init__(
        self,
        direction: Direction = "t2i",
        smoothing: Positive = 9.0,
        raw_norm: RawNorm = "clipped_l2norm",
        aggregation: Aggregation = "lse",
        lse_scale: Positive = 6.0,
    ) -> None:
        super().__init__()
        self.direction, self.smoothing, self.raw_norm = direction, smoothing, raw_norm
        self.aggregation, self.lse_scale = aggregation, lse_scale

    def explain(self, scores: Tensor, regions: Side, words: Side) -> tuple[Tensor, Tensor]:
        """Attention weights and the cosine of each query with its attended vector."""
        if self.direction == "t2i":
            weights, relevance = self.attend(
                scores,
                -2,
                -1,
                lambda weights: broadcast_matmul(weights, regions.gram),
                words.norm,
                None if words.padding is None else words.padding[..., None],
                None if regions.padding is None else regions.padding[..., None, :],
            )
            return weights, relevance
        weights, relevance = self.attend(
            scores,
            -1,
            -2,
            lambda weights: broadcast_matmul(words.gram, weights),
            regions.norm,
            None if regions.padding is None else regions.padding[..., None, :],
            None if words.padding is None else words.padding[..., None],
        )
        return weights.mT, relevance

    def attend(
        self,
        scores: Tensor,
        query_dim: int,
        context_dim: int,
        times_gram: Callable[[Tensor], Tensor],
        query_norm: Tensor,
        query_padding: Tensor | None,
        context_padding: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Steps 2 to 4, for any layout of the scores.

        Args:
            scores: raw scores, 0 at padding.
            query_dim, context_dim: axes of `scores`.
            times_gram: w -> G w along the context axis, same shape.
            query_norm: norms of the queries, broadcastable to the relevance.
            query_padding, context_padding: bool, broadcastable to `scores`; None: no padding.

        Returns:
            weights: of the shape of `scores`, summing to 1 along the context, 0 at padding context.
            relevance: without the context axis: cosines of query and attended vector, the product of the
                norms clamped at 1e-8 from below, as in the released code.
        """
        logits = scaled_logits(scores, self.raw_norm, self.smoothing, query_dim, query_padding)
        if context_padding is not None:
            logits = logits.masked_fill(context_padding, -torch.inf)
        weights = torch.softmax(logits, dim=context_dim)
        dot = (weights * scores).sum(dim=context_dim)
        attended_norm = safe_sqrt(_multiply(times_gram(weights), weights).sum(dim=context_dim))
        cosine = dot / (query_norm * attended_norm).clamp(min=EPS)
        return weights, cosine.clamp(-1, 1)  # rounding only: by Cauchy-Schwarz no exact value lies outside


def attend(regions: Tensor, words: Tensor, rule: Similarity) -> tuple[Tensor, Tensor]:
    """What one caption and one image attend to in each other. Differentiable.

    Args:
        regions: (k, dim) region embeddings of the image, without padding.
        words: (n, dim) word embeddings of the caption, without padding.
        rule: a similarity that defines `explain`. The weight of `SumMax` is 1 at each query's best context
            element.

    Returns:
        weights: (queries, context), each row sums to 1; queries are words for `"t2i"`, regions for `"i2t"`.
        relevance: (queries,) cosine of each query with what it attends to (`SumMax`: its best raw score).

    Raises:
        ValueError: shapes or types that do not fit.
        ScanError: the similarity does not define `explain`.

    >>> weights, relevance = attend(torch.eye(3), torch.eye(3)[:2], Attention("t2i"))
    >>> weights.shape
    torch.Size([2, 3])
    """
    for name, tensor, shape in (("regions", regions, "(k, dim)"), ("words", words, "(n, dim)")):
        if tensor.dim() != 2:
            raise ValueError(f"{name} must have 2 dimensions {shape}, not shape {tuple(tensor.shape)}")
    check_inputs(regions[None], words[None], rule, None, None)
    dtype = compute_dtype(regions, words)
    with full_precision(regions.device):
        regions, words = regions.to(dtype), words.to(dtype)
        return rule.explain(words @ regions.T, Side(regions), Side(words))


def score_group(rule: Attention, scores_CWIR: Tensor, regions: Side, words: Side) -> Tensor:
    """Scores (C, I) of captions of one length, in the layout of the product, where nothing is copied.

    Args:
        rule: exactly an `Attention`, not of a derived class.
        scores_CWIR: raw scores, contiguous; 0 at padding.
        regions: leading axes (I, 1).
        words: leading axes (1, C), no padding.
    """
    padding_IR = None if regions.padding is None else regions.padding[:, 0]
    if rule.direction == "t2i":

        def gram_of_regions(weights_CWIR: Tensor) -> Tensor:
            weights_IXR = weights_CWIR.flatten(0, 1).transpose(0, 1)
            return (weights_IXR @ regions.gram[:, 0]).transpose(0, 1).view_as(weights_CWIR)

        norm_CW1 = words.norm[0, :, :, None]
        _, relevance_CWI = rule.attend(scores_CWIR, 1, 3, gram_of_regions, norm_CW1, None, padding_IR)
        return rule.pool(relevance_CWI, None, scores_CWIR.shape[1], dim=1)

    def gram_of_words(weights_CWIR: Tensor) -> Tensor:
        return (words.gram[0] @ weights_CWIR.flatten(2)).view_as(weights_CWIR)

    _, relevance_CIR = rule.attend(scores_CWIR, 3, 1, gram_of_words, regions.norm[:, 0], padding_IR, None)
    return rule.pool(relevance_CIR, padding_IR, regions.count[:, 0], dim=2)


def scaled_logits(
    scores: Tensor, kind: RawNorm, scale: float, query_dim: int, query_padding: Tensor | None
) -> Tensor:
    """Step 2: raw scores normalised along the queries, times the inverse temperature.

    Args:
        scores: raw scores of any shape, 0 at padding queries; left as they are.
        kind: the normalisation.
        scale: lambda_1.
        query_dim: the axis of the queries.
        query_padding: bool, broadcastable to `scores`, True at padding queries; None: there is none.

    Returns:
        A new tensor of the same shape.
    """
    if kind == "softmax":
        if query_padding is not None:
            scores = scores.masked_fill(query_padding, -torch.inf)
        return _multiply(torch.softmax(scores, dim=query_dim), scale)
    if kind == "no_norm":
        return scores * scale
    owned = kind.startswith("clipped")
    if owned:
        scores = torch.nn.functional.leaky_relu(scores, SLOPE)
    factor: Tensor | float = scale
    if kind.endswith("l2norm"):
        factor = scale / (norm(scores, query_dim) + EPS)  # on the short side of the reduction: saves a pass
    elif kind.endswith("l1norm"):
        factor = scale / (scores.abs().sum(dim=query_dim, keepdim=True) + EPS)
    return _multiply(scores, factor) if owned else scores * factor


def _multiply(owned: Tensor, factor: Tensor | float) -> Tensor:
    """Product that reuses the memory of its first operand when no gradient is asked for."""
    return owned * factor if torch.is_grad_enabled() else owned.mul_(factor)
