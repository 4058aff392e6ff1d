"""similarity_matrix against the reference: every rule, values and gradients, odd shapes and types."""

import pytest
import torch
from similarity_cases import ALL_RULES, Batch, all_rules, few_rules, poison

import loop_reference as reference
from scan_lightning.similarity import Attention, SumMax, similarity_matrix

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def gradients(function, batch, weights):
    regions, words = batch.leaves()
    scores = function(regions, words)
    return scores.detach(), *torch.autograd.grad((scores * weights).sum(), (regions, words))


@all_rules
@pytest.mark.parametrize("budget", [None, 1], ids=["one block", "tiny blocks"])
def test_values_and_gradients_equal_the_reference(rule, budget):
    batch = Batch()
    weights = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = gradients(
        lambda r, w: similarity_matrix(r, w, rule, memory_budget=budget, **batch.counts), batch, weights
    )
    expected = gradients(lambda r, w: reference.similarity_matrix(r, w, rule, **batch.counts), batch, weights)
    for found, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(found, wanted, **CLOSE)
    assert torch.isfinite(ours[1]).all()  # nothing leaks out of the NaN padding
    for row, count in zip(ours[1], batch.region_counts, strict=True):
        assert (row[count:] == 0).all()


@all_rules
def test_float32_stays_close_to_float64(rule):
    batch = Batch(dim=64)
    exact = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    single = similarity_matrix(batch.regions.float(), batch.words.float(), rule, **batch.counts)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=2e-6, atol=2e-6)


@few_rules
def test_gradcheck(rule):
    batch = Batch(images=2, regions=3, captions=3, words=4, dim=5)
    poison(batch.regions, batch.region_counts, 0.3)  # gradcheck compares NaN inputs with themselves
    poison(batch.words, batch.word_counts, -0.4)
    assert torch.autograd.gradcheck(
        lambda r, w: similarity_matrix(r, w, rule, memory_budget=3000, **batch.counts), batch.leaves()
    )


@few_rules
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 4, 3, 1), (3, 1, 1, 4), (1, 1, 5, 3)])
def test_one_image_caption_word_or_region(rule, shape):
    images, regions, captions, words = shape
    batch = Batch(images, regions, captions, words)
    torch.testing.assert_close(
        similarity_matrix(batch.regions, batch.words, rule, **batch.counts),
        reference.similarity_matrix(batch.regions, batch.words, rule, **batch.counts),
        **CLOSE,
    )


@all_rules
def test_zero_rows_keep_values_right_and_gradients_finite(rule):
    batch = Batch()
    poison(batch.regions, batch.region_counts, 0.0)
    poison(batch.words, batch.word_counts, 0.0)
    batch.regions[0] = 0  # an image without a single non-zero region
    batch.words[2, 0] = 0
    batch.words[3] = 0
    weights = torch.ones(5, 7, dtype=torch.float64)
    found = gradients(lambda r, w: similarity_matrix(r, w, rule, **batch.counts), batch, weights)
    wanted = gradients(lambda r, w: reference.similarity_matrix(r, w, rule, **batch.counts), batch, weights)
    torch.testing.assert_close(found[0], wanted[0], **CLOSE)
    assert torch.isfinite(found[1]).all()
    assert torch.isfinite(found[2]).all()


@all_rules
def test_zero_rows_in_single_precision(rule):
    batch = Batch(dtype=torch.float32)
    batch.regions[:, 0] = 0
    batch.words[:, 0] = 0
    weights = torch.ones(5, 7)
    for tensor in gradients(lambda r, w: similarity_matrix(r, w, rule, **batch.counts), batch, weights):
        assert torch.isfinite(tensor).all()


@few_rules
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_widened_first(rule, dtype):
    batch = Batch(dim=32)
    regions, words = batch.regions.to(dtype), batch.words.to(dtype)
    found = similarity_matrix(regions, words, rule, **batch.counts)
    assert found.dtype == torch.float32
    wanted = reference.similarity_matrix(regions.double(), words.double(), rule, **batch.counts)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


@few_rules
def test_autocast_changes_nothing(rule):
    batch = Batch(dim=32, dtype=torch.float32)
    plain = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        regions, words = batch.leaves()
        scores = similarity_matrix(regions, words, rule, **batch.counts)
        scores.sum().backward()
    assert scores.dtype == torch.float32
    assert torch.equal(scores.detach(), plain)
    again, again_words = batch.leaves()
    similarity_matrix(again, again_words, rule, **batch.counts).sum().backward()
    assert torch.equal(regions.grad, again.grad)
    assert torch.equal(words.grad, again_words.grad)


def test_half_precision_gradients_come_back_in_the_inputs_type():
    batch = Batch(dtype=torch.bfloat16)
    regions, words = batch.leaves()
    similarity_matrix(regions, words, ALL_RULES[0], **batch.counts).sum().backward()
    assert regions.grad.dtype == words.grad.dtype == torch.bfloat16


def test_large_lse_scale_does_not_overflow():
    batch = Batch(dtype=torch.float16)
    rule = Attention("i2t", 4.0, aggregation="lse", lse_scale=500.0)
    assert torch.isfinite(similarity_matrix(batch.regions, batch.words, rule, **batch.counts)).all()


def test_embeddings_far_from_unit_length():
    batch = Batch()
    for rule in ALL_RULES[:4]:
        found = similarity_matrix(batch.regions * 1e3, batch.words * 1e-3, rule, **batch.counts)
        wanted = reference.similarity_matrix(batch.regions * 1e3, batch.words * 1e-3, rule, **batch.counts)
        torch.testing.assert_close(found, wanted, **CLOSE)


@few_rules
def test_non_contiguous_input(rule):
    batch = Batch()
    regions = batch.regions.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    words = torch.stack([batch.words, batch.words], dim=-1)[..., 0]
    assert not regions.is_contiguous()
    assert not words.is_contiguous()
    torch.testing.assert_close(
        similarity_matrix(regions, words, rule, **batch.counts),
        similarity_matrix(batch.regions, batch.words, rule, **batch.counts),
        **CLOSE,
    )


def test_the_same_call_gives_the_same_bits():
    batch = Batch(images=20, captions=30, dtype=torch.float32)
    first = similarity_matrix(batch.regions, batch.words, ALL_RULES[0], **batch.counts)
    assert torch.equal(first, similarity_matrix(batch.regions, batch.words, ALL_RULES[0], **batch.counts))


@few_rules
def test_leaves_its_inputs_alone(rule):
    batch = Batch()
    regions, words = batch.regions.clone(), batch.words.clone()
    similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    assert torch.equal(regions.nan_to_num(9), batch.regions.nan_to_num(9))
    assert torch.equal(words.nan_to_num(9), batch.words.nan_to_num(9))


def test_a_gradient_of_one_side_only():
    batch = Batch()
    words = batch.words.clone().requires_grad_()
    similarity_matrix(batch.regions, words, SumMax("t2i"), **batch.counts).sum().backward()
    assert torch.isfinite(words.grad).all()
