"""The reference itself, against the five steps done number by number with plain Python floats."""

import math

import pytest
import torch
from similarity_cases import Batch, all_rules

import loop_reference as reference
from scan_lightning.similarity import Attention


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def normalised(row, kind):
    """One context element's scores over the queries (step 2)."""
    if kind.startswith("clipped"):
        row = [s if s > 0 else 0.1 * s for s in row]
    if kind.endswith("l2norm"):
        return [s / (math.sqrt(dot(row, row)) + 1e-8) for s in row]
    if kind.endswith("l1norm"):
        return [s / (sum(abs(t) for t in row) + 1e-8) for s in row]
    if kind == "softmax":
        return [math.exp(s) / sum(math.exp(t) for t in row) for s in row]
    return row


def by_hand(regions, words, rule):
    queries, context = (words, regions) if rule.direction == "t2i" else (regions, words)
    raw = [[dot(c, q) for q in queries] for c in context]
    if not isinstance(rule, Attention):
        return pooled([max(raw[c][q] for c in range(len(context))) for q in range(len(queries))], rule)
    normal = [normalised(row, rule.raw_norm) for row in raw]
    relevance = []
    for q, query in enumerate(queries):
        exponent = [math.exp(rule.smoothing * normal[c][q]) for c in range(len(context))]
        attended = [
            sum(e * c[d] for e, c in zip(exponent, context, strict=True)) / sum(exponent)
            for d in range(len(query))
        ]
        norms = math.sqrt(dot(query, query)) * math.sqrt(dot(attended, attended))
        relevance.append(dot(query, attended) / max(norms, 1e-8))
    return pooled(relevance, rule)


def pooled(relevance, rule):
    if rule.aggregation == "lse":
        return math.log(sum(math.exp(rule.lse_scale * r) for r in relevance)) / rule.lse_scale
    return {"mean": sum(relevance) / len(relevance), "max": max(relevance), "sum": sum(relevance)}[
        rule.aggregation
    ]


@all_rules
def test_reference_follows_the_five_steps(rule):
    batch = Batch(images=2, regions=3, captions=3, words=4, dim=5)
    scores = reference.similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    for i, regions in enumerate(batch.regions):
        for c, words in enumerate(batch.words):
            expected = by_hand(
                regions[: batch.region_counts[i]].tolist(), words[: batch.word_counts[c]].tolist(), rule
            )
            assert float(scores[i, c]) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_reference_loss_adds_the_costs_of_the_batch():
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.2, 0.5, 0.6], [0.3, 0.1, 0.2]])
    # rows: .2+.8-.9, .2+.6-.5, .2+.3-.2;  columns: .2+.3-.9 < 0, .2+.8-.5, .2+.6-.2
    assert float(reference.triplet_loss(scores)) == pytest.approx(0.1 + 0.3 + 0.3 + 0 + 0.5 + 0.6)
    # the further negatives: rows < 0, < 0, .2+.1-.2;  columns < 0, < 0, .2+.1-.2
    assert float(reference.triplet_loss(scores, negatives="all")) == pytest.approx(1.8 + 0.1 + 0.1)
