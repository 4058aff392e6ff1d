"""One block of images and packed captions, in plain PyTorch: the Gram form of the method on raw scores.

Shape legend: I images, R regions, C captions of one length, W their words, N packed word rows, D dimension.
"""

import torch
from torch import Tensor

from scan_lightning.similarity import formula
from scan_lightning.similarity.normalise import norm
from scan_lightning.similarity.packing import Group, Pack
from scan_lightning.similarity.rule import Attention, Rule


def score_block(
    scores_NX: Tensor,
    regions_IRD: Tensor,
    real_IR: Tensor | None,
    counts_I: Tensor,
    words_ND: Tensor,
    packed: Pack,
    rule: Rule,
) -> Tensor:
    """Score some images against some packed captions, whose raw scores are known. Differentiable.

    Args:
        scores_NX: raw scores, X = I x R; zero at padding.
        regions_IRD: regions, zero at padding.
        real_IR: bool, True at real regions; None: no padding.
        counts_I: real regions of each image.
        words_ND: packed words.
        packed: how the words are packed.
        rule: what is computed.

    Returns:
        (captions in packed order, I) scores.
    """
    images, regions, dim = regions_IRD.shape
    gram_IRR = regions_IRD @ regions_IRD.mT if isinstance(rule, Attention) and rule.query == "word" else None
    region_norm_IR = (
        norm(regions_IRD, 2, keepdim=False)
        if isinstance(rule, Attention) and rule.query == "region"
        else None
    )
    scores_NIR = scores_NX.view(-1, images, regions)
    parts = []
    sizes = [group.captions * group.length for group in packed.groups]  # split: its backward copies once
    for group, scores_XIR, words_XD in zip(
        packed.groups, torch.split(scores_NIR, sizes), torch.split(words_ND, sizes), strict=True
    ):
        scores_CWIR = scores_XIR.view(group.captions, group.length, images, regions)
        words_CWD = words_XD.view(group.captions, group.length, dim)
        if rule.query == "word":
            parts.append(_words_ask(scores_CWIR, words_CWD, gram_IRR, real_IR, rule, group))
        else:
            parts.append(_regions_ask(scores_CWIR, words_CWD, region_norm_IR, real_IR, counts_I, rule))
    return torch.cat(parts)


def _words_ask(
    scores_CWIR: Tensor,
    words_CWD: Tensor,
    gram_IRR: Tensor | None,
    real_IR: Tensor | None,
    rule: Rule,
    group: Group,
) -> Tensor:
    """t2i scores (C, I) of one group."""
    queries = torch.tensor(float(group.length), dtype=scores_CWIR.dtype, device=scores_CWIR.device)
    if not isinstance(rule, Attention):
        relevance_CWI = formula.best_scores(scores_CWIR, 3, real_IR)
        return formula.pool(relevance_CWI, rule, 1, None, queries)

    def times_gram(weights_CWIR: Tensor) -> Tensor:
        assert gram_IRR is not None
        weights_IXR = weights_CWIR.flatten(0, 1).transpose(0, 1)
        return (weights_IXR @ gram_IRR).transpose(0, 1).view_as(weights_CWIR)

    weights_CWIR = formula.attention_weights(scores_CWIR, rule, 1, 3, None, real_IR)
    word_norm_CW1 = norm(words_CWD, 2)
    relevance_CWI = formula.relevance(scores_CWIR, weights_CWIR, times_gram, word_norm_CW1, 3)
    return formula.pool(relevance_CWI, rule, 1, None, queries)


def _regions_ask(
    scores_CWIR: Tensor,
    words_CWD: Tensor,
    region_norm_IR: Tensor | None,
    real_IR: Tensor | None,
    counts_I: Tensor,
    rule: Rule,
) -> Tensor:
    """i2t scores (C, I) of one group."""
    queries_I = counts_I.to(scores_CWIR.dtype)
    if not isinstance(rule, Attention):
        return formula.pool(formula.best_scores(scores_CWIR, 1, None), rule, 2, real_IR, queries_I)
    gram_CWW = words_CWD @ words_CWD.mT

    def times_gram(weights_CWIR: Tensor) -> Tensor:
        return (gram_CWW @ weights_CWIR.flatten(2)).view_as(weights_CWIR)

    assert region_norm_IR is not None
    weights_CWIR = formula.attention_weights(scores_CWIR, rule, 3, 1, real_IR, None)
    relevance_CIR = formula.relevance(scores_CWIR, weights_CWIR, times_gram, region_norm_IR, 1)
    return formula.pool(relevance_CIR, rule, 2, real_IR, queries_I)
