"""attend: the weights and relevances behind a score."""

import pytest
import torch
from similarity_cases import ALL_RULES, Batch, all_rules, name

import loop_reference as reference
from scan_lightning.similarity import Attention, SumMax, attend

ATTENTIONS = [rule for rule in ALL_RULES if isinstance(rule, Attention)]


def image_and_caption():
    batch = Batch(images=1, captions=1)
    return batch.regions[0, : batch.region_counts[0]], batch.words[0, : batch.word_counts[0]]


@pytest.mark.parametrize("rule", ATTENTIONS, ids=name)
def test_weights_attend_to_what_the_relevance_is_the_cosine_of(rule):
    regions, words = image_and_caption()
    weights, relevance = attend(regions, words, rule)
    query, context = (words, regions) if rule.direction == "t2i" else (regions, words)
    assert weights.shape == (len(query), len(context))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(query), dtype=torch.float64))
    torch.testing.assert_close(relevance, torch.cosine_similarity(query, weights @ context, dim=1))


@all_rules
def test_pooled_relevance_is_the_score(rule):
    regions, words = image_and_caption()
    _, relevance = attend(regions, words, rule)
    pooled = {
        "sum": relevance.sum(),
        "mean": relevance.mean(),
        "max": relevance.max(),
        "lse": torch.logsumexp(5.0 * relevance, dim=0) / 5.0,
    }[rule.aggregation]
    torch.testing.assert_close(pooled, reference.similarity_matrix(regions[None], words[None], rule)[0, 0])


def test_sharp_attention_looks_at_the_best_region_as_summax_does():
    regions, words = image_and_caption()
    sharp, _ = attend(regions, words, Attention("t2i", smoothing=1e4, raw_norm="no_norm"))
    hard, best = attend(regions, words, SumMax("t2i"))
    torch.testing.assert_close(sharp, hard)
    torch.testing.assert_close(best, (words @ regions.T).amax(dim=1))


def test_is_differentiable():
    regions, words = image_and_caption()
    assert torch.autograd.gradcheck(
        lambda r, w: attend(r, w, Attention("i2t", 4.0)), (regions.requires_grad_(), words.requires_grad_())
    )


def test_half_precision_is_widened():
    regions, words = image_and_caption()
    weights, relevance = attend(regions.half(), words.half(), Attention("t2i"))
    assert weights.dtype == relevance.dtype == torch.float32


def test_refuses_a_batch():
    batch = Batch()
    with pytest.raises(
        ValueError, match=r"regions must have 2 dimensions \(k, dim\), not shape \(5, 6, 16\)"
    ):
        attend(batch.regions, batch.words[0], Attention("t2i"))
