"""similarity_pairs: gradients against the reference, repeated pairs, blocks, errors."""

import pytest
import torch
from similarity_cases import Batch, all_rules, few_rules, poison

import loop_reference as reference
from scan_lightning.similarity import SumMax, pairs, product, similarity_pairs

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
IMAGES = torch.tensor([0, 3, 3, 1, 4, 0, 3])
CAPTIONS = torch.tensor([6, 2, 2, 0, 5, 1, 4])
WEIGHTS = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, -1.0, 2.0], dtype=torch.float64)


def gradients(function, batch):
    regions, words = batch.leaves()
    scores = function(regions, words)
    return scores.detach(), *torch.autograd.grad((scores * WEIGHTS).sum(), (regions, words))


@all_rules
@pytest.mark.parametrize("tile_rows", [product.TILE_ROWS, 12, 1], ids=["one tile", "some", "an image each"])
@pytest.mark.parametrize("budget", [pairs.DEFAULT_BUDGET, 1], ids=["one block", "a pair a block"])
def test_values_and_gradients_equal_the_reference(rule, budget, tile_rows, monkeypatch):
    monkeypatch.setattr(pairs, "DEFAULT_BUDGET", budget)
    monkeypatch.setattr(product, "TILE_ROWS", tile_rows)
    batch = Batch()
    found = gradients(lambda r, w: similarity_pairs(r, w, IMAGES, CAPTIONS, rule, **batch.counts), batch)
    wanted = gradients(
        lambda r, w: reference.similarity_matrix(r, w, rule, **batch.counts)[IMAGES, CAPTIONS], batch
    )
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


@few_rules
def test_gradcheck(rule):
    batch = Batch(images=3, regions=3, captions=3, words=4, dim=5)
    poison(batch.regions, batch.region_counts, 0.3)
    poison(batch.words, batch.word_counts, -0.4)
    assert torch.autograd.gradcheck(
        lambda r, w: similarity_pairs(r, w, [0, 2, 2, 1], [1, 1, 0, 2], rule, **batch.counts), batch.leaves()
    )


@all_rules
def test_zero_rows_keep_gradients_finite(rule):
    batch = Batch(dtype=torch.float32)
    batch.regions[3] = 0
    batch.regions[:, 0] = 0
    batch.words[:, 0] = 0
    regions, words = batch.leaves()
    similarity_pairs(regions, words, IMAGES, CAPTIONS, rule, **batch.counts).sum().backward()
    assert torch.isfinite(regions.grad).all()
    assert torch.isfinite(words.grad).all()


@few_rules
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(rule, dtype):
    batch = Batch(dim=32, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = similarity_pairs(batch.regions, batch.words, IMAGES, CAPTIONS, rule, **batch.counts)
    wanted = reference.similarity_matrix(batch.regions.double(), batch.words.double(), rule, **batch.counts)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted[IMAGES, CAPTIONS], rtol=1e-5, atol=1e-5)


def test_the_backward_pass_can_run_twice():
    batch = Batch()
    regions, words = batch.leaves()
    loss = similarity_pairs(regions, words, IMAGES, CAPTIONS, SumMax("i2t"), **batch.counts).sum()
    first = torch.autograd.grad(loss, regions, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss, regions)[0], first)


def test_non_contiguous_input():
    batch = Batch()
    words = batch.words.permute(1, 0, 2).contiguous().permute(1, 0, 2).requires_grad_()
    found = similarity_pairs(batch.regions, words, IMAGES, CAPTIONS, SumMax("t2i"), **batch.counts)
    wanted = reference.similarity_matrix(batch.regions, words, SumMax("t2i"), **batch.counts)
    torch.testing.assert_close(found, wanted[IMAGES, CAPTIONS], **CLOSE)


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        ([0, 5], [0, 0], r"image_index must be in 0..4; image_index\[1\] is 5"),
        ([0, 1], [0, -1], r"caption_index must be in 0..6; caption_index\[1\] is -1"),
        ([0, 1], [0], "equally long, not 2 and 1"),
        ([0.5], [0], "image_index must be a vector of integers"),
        ([[0]], [[0]], "image_index must be a vector of integers"),
    ],
)
def test_refuses_indices_that_do_not_fit(images, captions, message):
    batch = Batch()
    with pytest.raises(ValueError, match=message):
        similarity_pairs(
            batch.regions, batch.words, torch.tensor(images), torch.tensor(captions), SumMax("t2i")
        )
