"""The similarity as the paper writes it: a loop over captions, every attended vector formed.

The reference of the tests and the baseline of the benchmarks. It follows the
released code where that differs from the paper (LeakyReLU 0.1 instead of max(x, 0) in the clipped kinds).

Shape legend: I images, R regions, C captions, W words of one caption, Q queries, K context, D dimension.
"""

import torch
from torch import Tensor

from scan_lightning.similarity import Attention, SumMax

EPS = 1e-8


def similarity_matrix(
    regions: Tensor,
    words: Tensor,
    rule: Attention | SumMax,
    *,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
) -> Tensor:
    """Score every image against every caption, slowly.

    Args:
        regions: (I, R, D) region embeddings.
        words: (C, W, D) word embeddings.
        rule: what is computed.
        region_counts: (I,) real regions of each image; all when None.
        word_counts: (C,) real words of each caption; all when None.

    Returns:
        (I, C) similarities.
    """
    columns = []
    for caption in range(len(words)):
        words_WD = words[caption] if word_counts is None else words[caption, : int(word_counts[caption])]
        if region_counts is None:
            columns.append(_score(regions, words_WD, rule))
        else:  # images of different sizes cannot share a batch here
            each = [
                _score(regions[i : i + 1, : int(region_counts[i])], words_WD, rule)
                for i in range(len(regions))
            ]
            columns.append(torch.cat(each))
    return torch.stack(columns, dim=1)


def triplet_loss(scores_IC: Tensor, margin: float = 0.2, negatives: str = "hardest") -> Tensor:
    """Triplet loss of a square matrix of similarities, summed over the batch (paper, equations 12 and 13).

    Args:
        scores_IC: (B, B) similarities; the pairs on the diagonal are the right ones.
        margin: alpha.
        negatives: `"hardest"` or `"all"`.

    Returns:
        The scalar loss.
    """
    right_I = scores_IC.diagonal()
    diagonal = torch.eye(len(scores_IC), dtype=torch.bool, device=scores_IC.device)
    cost_caption = (margin + scores_IC - right_I[:, None]).clamp(min=0).masked_fill(diagonal, 0)
    cost_image = (margin + scores_IC - right_I[None, :]).clamp(min=0).masked_fill(diagonal, 0)
    if negatives == "hardest":
        return cost_caption.max(dim=1).values.sum() + cost_image.max(dim=0).values.sum()
    return cost_caption.sum() + cost_image.sum()


def _score(regions_IRD: Tensor, words_WD: Tensor, rule: Attention | SumMax) -> Tensor:
    """Similarity of several images of one size and one caption: (I,)."""
    words_IWD = words_WD.expand(len(regions_IRD), -1, -1)
    query_IQD, context_IKD = (words_IWD, regions_IRD) if rule.direction == "t2i" else (regions_IRD, words_IWD)
    if not isinstance(rule, Attention):
        return _pool((query_IQD @ context_IKD.mT).amax(dim=2), rule)
    raw_IKQ = context_IKD @ query_IQD.mT
    normalised_IKQ = _normalise(raw_IKQ, rule.raw_norm)
    weights_IQK = torch.softmax(rule.smoothing * normalised_IKQ.mT, dim=2)
    attended_IQD = weights_IQK @ context_IKD
    return _pool(_cosine(query_IQD, attended_IQD), rule)


def _pool(relevance_IQ: Tensor, rule: Attention | SumMax) -> Tensor:
    match rule.aggregation:
        case "lse":
            return torch.log(torch.exp(rule.lse_scale * relevance_IQ).sum(dim=1)) / rule.lse_scale
        case "mean":
            return relevance_IQ.mean(dim=1)
        case "max":
            return relevance_IQ.amax(dim=1)
    return relevance_IQ.sum(dim=1)


def _normalise(raw_IKQ: Tensor, kind: str) -> Tensor:
    """Step 2: per context element, along the queries (the last axis)."""
    if kind.startswith("clipped"):
        raw_IKQ = torch.nn.functional.leaky_relu(raw_IKQ, 0.1)
    if kind.endswith("l2norm"):
        norm_IK1: Tensor = torch.linalg.vector_norm(raw_IKQ, dim=2, keepdim=True)
        return raw_IKQ / (norm_IK1 + EPS)
    if kind.endswith("l1norm"):
        return raw_IKQ / (raw_IKQ.abs().sum(dim=2, keepdim=True) + EPS)
    return torch.softmax(raw_IKQ, dim=2) if kind == "softmax" else raw_IKQ


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine along the last axis, the product of norms clamped at 1e-8."""
    norms: Tensor = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (a * b).sum(dim=-1) / norms.clamp(min=EPS)
