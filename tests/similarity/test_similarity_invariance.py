"""Properties that hold for any input: permutation, padding, block size (drawn by hypothesis)."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from similarity_cases import ALL_RULES, Batch, poison

import loop_reference as reference
from scan_lightning.similarity import similarity_matrix, similarity_pairs

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
rules = st.sampled_from(ALL_RULES)
batches = st.builds(
    Batch,
    images=st.integers(1, 7),
    regions=st.integers(1, 8),
    captions=st.integers(1, 9),
    words=st.integers(1, 10),
    dim=st.integers(2, 12),
    seed=st.integers(0, 2**31),
)
quick = settings(max_examples=60, deadline=None, derandomize=True)


@quick
@given(batch=batches, rule=rules, budget=st.integers(1, 200_000))
def test_any_shape_and_budget_equals_the_reference(batch, rule, budget):
    found = similarity_matrix(batch.regions, batch.words, rule, memory_budget=budget, **batch.counts)
    wanted = reference.similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    torch.testing.assert_close(found, wanted, **CLOSE)


@quick
@given(batch=batches, rule=rules, seed=st.integers(0, 1000))
def test_permuting_items_regions_and_words(batch, rule, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randperm(len(batch.regions), generator=generator)
    captions = torch.randperm(len(batch.words), generator=generator)
    before = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    for padded, counts in ((batch.regions, batch.region_counts), (batch.words, batch.word_counts)):
        for row, count in zip(padded, counts.tolist(), strict=True):
            row[:count] = row[torch.randperm(count, generator=generator)]
    after = similarity_matrix(
        batch.regions[images],
        batch.words[captions],
        rule,
        region_counts=batch.region_counts[images],
        word_counts=batch.word_counts[captions],
    )
    torch.testing.assert_close(after, before[images][:, captions], **CLOSE)


@quick
@given(
    batch=batches,
    rule=rules,
    extra=st.integers(0, 5),
    filling=st.sampled_from([0.0, 1.0, -1e30, float("nan"), float("inf")]),
)
def test_padding_never_matters(batch, rule, extra, filling):
    before = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    regions = torch.nn.functional.pad(batch.regions, (0, 0, 0, extra))
    words = torch.nn.functional.pad(batch.words, (0, 0, 0, 2 * extra))
    poison(regions, batch.region_counts, filling)
    poison(words, batch.word_counts, filling)
    assert torch.equal(similarity_matrix(regions, words, rule, **batch.counts), before)


@quick
@given(batch=batches, rule=rules, seed=st.integers(0, 1000), pairs=st.integers(0, 20))
def test_pairs_are_entries_of_the_matrix(batch, rule, seed, pairs):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(len(batch.regions), (pairs,), generator=generator)
    captions = torch.randint(len(batch.words), (pairs,), generator=generator)
    scores = similarity_pairs(batch.regions, batch.words, images, captions, rule, **batch.counts)
    wanted = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)[images, captions]
    torch.testing.assert_close(scores, wanted, **CLOSE)
