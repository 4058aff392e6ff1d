"""Step 2 of the method: raw scores normalised along the query axis, for each context element."""

import torch
from torch import Tensor

EPS = 1e-8
SLOPE = 0.1  # the paper clips with max(x, 0); the released code, which made its numbers, with this LeakyReLU


def scaled_logits(
    scores: Tensor, kind: str, scale: float, query_dim: int, real_queries: Tensor | None
) -> Tensor:
    """Normalise raw scores along the queries and multiply by the inverse temperature.

    Padding queries must already score 0, so that only the softmax has to know them.

    Args:
        scores: raw scores of any shape; left as they are.
        kind: one of `rule.RAW_NORMS`.
        scale: lambda_1.
        query_dim: the axis of the queries.
        real_queries: bool, broadcastable to `scores`, True at real queries; None: all are.

    Returns:
        `scale` times the normalised scores, a new tensor of the same shape.
    """
    if kind == "softmax":
        if real_queries is not None:
            scores = scores.masked_fill(~real_queries, -torch.inf)
        return multiply(torch.softmax(scores, dim=query_dim), scale)
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
    return multiply(scores, factor) if owned else scores * factor


def multiply(owned: Tensor, factor: Tensor | float) -> Tensor:
    """Product that reuses the memory of its first operand when no gradient is asked for."""
    return owned * factor if torch.is_grad_enabled() else owned.mul_(factor)


def norm(x: Tensor, dim: int, keepdim: bool = True) -> Tensor:
    """L2 norm along one axis, whose gradient at an all-zero row is zero instead of NaN."""
    return safe_sqrt((x * x).sum(dim=dim, keepdim=keepdim))


def safe_sqrt(x: Tensor) -> Tensor:
    """Square root of max(x, 0), with the gradient zero where x <= 0 (sqrt alone gives NaN or inf there)."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), 0)
