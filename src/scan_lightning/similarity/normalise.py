"""Step 2 of the method: raw scores normalised along the query axis, for each context element."""

import torch
from torch import Tensor

EPS = 1e-8
SLOPE = 0.1  # the paper clips with max(x, 0); the released code, which made its numbers, with this LeakyReLU


def normalise(scores: Tensor, kind: str, query_dim: int, real_queries: Tensor | None) -> Tensor:
    """Normalise raw scores along the queries.

    Padding queries must already score 0, so that only the softmax has to know them.

    Args:
        scores: raw scores of any shape.
        kind: one of `rule.RAW_NORMS`.
        query_dim: the axis of the queries.
        real_queries: bool, broadcastable to `scores`, True at real queries; None: all are.

    Returns:
        Normalised scores of the same shape. The result may be `scores` itself (`no_norm`).
    """
    if kind == "softmax":
        if real_queries is not None:
            scores = scores.masked_fill(~real_queries, -torch.inf)
        return torch.softmax(scores, dim=query_dim)
    if kind.startswith("clipped"):
        scores = torch.nn.functional.leaky_relu(scores, SLOPE)
    if kind.endswith("l2norm"):
        return scores / (norm(scores, query_dim) + EPS)
    if kind.endswith("l1norm"):
        return scores / (scores.abs().sum(dim=query_dim, keepdim=True) + EPS)
    return scores


def norm(x: Tensor, dim: int, keepdim: bool = True) -> Tensor:
    """L2 norm along one axis, whose gradient at an all-zero row is zero instead of NaN."""
    return safe_sqrt((x * x).sum(dim=dim, keepdim=keepdim))


def safe_sqrt(x: Tensor) -> Tensor:
    """Square root of max(x, 0), with the gradient zero where x <= 0 (sqrt alone gives NaN or inf there)."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), 0)
