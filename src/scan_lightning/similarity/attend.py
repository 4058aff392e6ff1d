"""What one caption and one image look at in each other: the weights behind a score."""

import torch
from torch import Tensor

from scan_lightning.similarity import formula
from scan_lightning.similarity.inputs import check_inputs, compute_dtype
from scan_lightning.similarity.normalise import norm
from scan_lightning.similarity.precision import full_precision
from scan_lightning.similarity.rule import Attention, Rule


def attend(regions: Tensor, words: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Attention weights and relevances of one image and one caption. Differentiable.

    Args:
        regions: (k, dim) region embeddings of the image, without padding.
        words: (n, dim) word embeddings of the caption, without padding.
        rule: `Attention`, or `SumMax`, whose weight is 1 at each query's best context element.

    Returns:
        weights: (queries, context), each row sums to 1; queries are words for `"t2i"`, regions for `"i2t"`.
        relevance: (queries,) cosine of each query with what it attends to (`SumMax`: its best raw score).

    Raises:
        ValueError: shapes or types that do not fit.

    >>> weights, relevance = attend(torch.eye(3), torch.eye(3)[:2], SumMax("t2i"))
    >>> weights
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    for name, tensor, shape in (("regions", regions, "(k, dim)"), ("words", words, "(n, dim)")):
        if tensor.dim() != 2:
            raise ValueError(f"{name} must have 2 dimensions {shape}, not shape {tuple(tensor.shape)}")
    check_inputs(regions[None], words[None], rule, None, None)
    dtype = compute_dtype(regions, words)
    query_QD, context_KD = (words, regions) if rule.query == "word" else (regions, words)
    with full_precision(regions.device):
        query_QD, context_KD = query_QD.to(dtype), context_KD.to(dtype)
        scores_QK = query_QD @ context_KD.T
        if not isinstance(rule, Attention):
            best_Q, where_Q = scores_QK.max(dim=1)
            return torch.nn.functional.one_hot(where_Q, scores_QK.shape[1]).to(dtype), best_Q
        gram_KK = context_KD @ context_KD.T
        weights_QK = formula.attention_weights(scores_QK, rule, 0, 1, None, None)
        query_norm_Q = norm(query_QD, 1, keepdim=False)
        relevance_Q = formula.relevance(scores_QK, weights_QK, lambda w: w @ gram_KK, query_norm_Q, 1)
    return weights_QK, relevance_Q
