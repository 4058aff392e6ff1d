"""Steps 2 to 5 of the method on raw scores, without ever forming an attended vector (identity 1, Gram).

For weights w over context rows c with G = C C^T, the attended vector a = C^T w has |a|^2 = w^T G w and
q . a = w . s, where s are the raw scores of query q. Everything after the product therefore costs a factor
D / K less than the product itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from scan_lightning.similarity.normalise import EPS, multiply, safe_sqrt, scaled_logits
from scan_lightning.similarity.rule import Attention, Rule


def attention_weights(
    scores: Tensor,
    rule: Attention,
    query_dim: int,
    context_dim: int,
    real_queries: Tensor | None,
    real_context: Tensor | None,
) -> Tensor:
    """Steps 2 and 3: softmax of lambda_1 times the normalised score, along the context.

    Args:
        scores: raw scores; zero at padding.
        rule: direction is not used: the axes say who asks.
        query_dim, context_dim: axes of `scores`.
        real_queries, real_context: bool, broadcastable to `scores`; None: no padding.

    Returns:
        Weights of the shape of `scores`, summing to 1 along the context, 0 at padding context.
    """
    logits = scaled_logits(scores, rule.raw_norm, rule.smoothing, query_dim, real_queries)
    if real_context is not None:
        logits = logits.masked_fill(~real_context, -torch.inf)
    return torch.softmax(logits, dim=context_dim)


def relevance(
    scores: Tensor,
    weights: Tensor,
    times_gram: Callable[[Tensor], Tensor],
    query_norm: Tensor,
    context_dim: int,
) -> Tensor:
    """Step 4: R_q = cos(query_q, attended_q) from scores, weights and the context's Gram matrix.

    Args:
        scores: raw scores.
        weights: attention weights, same shape.
        times_gram: w -> G w along the context axis, same shape.
        query_norm: norms of the queries, broadcastable to the result.
        context_dim: axis of the context, absent from the result.

    Returns:
        Cosines; the product of the norms is clamped at 1e-8 from below, as in the released code.
    """
    dot = (weights * scores).sum(dim=context_dim)
    attended_norm = safe_sqrt(multiply(times_gram(weights), weights).sum(dim=context_dim))
    cosine = dot / (query_norm * attended_norm).clamp(min=EPS)
    return cosine.clamp(-1, 1)  # rounding only: by Cauchy-Schwarz no exact value lies outside


def pool(
    relevance: Tensor, rule: Rule, query_dim: int, real_queries: Tensor | None, queries: Tensor
) -> Tensor:
    """Step 5: the relevances of the queries become one score.

    Args:
        relevance: cosines (`Attention`) or best raw scores (`SumMax`).
        rule: its aggregation; `SumMax` sums.
        query_dim: axis of the queries, absent from the result.
        real_queries: bool, broadcastable to `relevance`; None: no padding.
        queries: number of real queries, broadcastable to the result.

    Returns:
        Similarities.
    """
    aggregation = rule.aggregation if isinstance(rule, Attention) else "sum"
    if real_queries is not None:
        filling = 0.0 if aggregation in ("mean", "sum") else -torch.inf
        relevance = relevance.masked_fill(~real_queries, filling)
    match aggregation:
        case "lse":
            assert isinstance(rule, Attention)
            return torch.logsumexp(rule.lse_scale * relevance, dim=query_dim) / rule.lse_scale
        case "max":
            return relevance.amax(dim=query_dim)
        case "mean":
            return relevance.sum(dim=query_dim) / queries
    return relevance.sum(dim=query_dim)


def best_scores(scores: Tensor, context_dim: int, real_context: Tensor | None) -> Tensor:
    """Sum-Max's inner half: each query's largest raw score over the real context."""
    if real_context is not None:
        scores = scores.masked_fill(~real_context, -torch.inf)
    return scores.amax(dim=context_dim)
