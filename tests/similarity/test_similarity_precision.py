"""The product's precision is what the caller chose, whatever a global switch says."""

import pytest
import torch
from similarity_cases import Batch, few_rules

from scan_lightning.similarity import Attention, similarity_matrix
from scan_lightning.similarity.product import PRODUCTS, full_precision, scores_of

generator = torch.Generator().manual_seed(0)
WORDS = torch.randn(50, 128, generator=generator)
REGIONS = torch.randn(60, 128, generator=generator)


@pytest.fixture(params=["highest", "high", "medium"])
def program(request):
    """A program that set the global switch before it calls us."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


def test_fp32_is_full_precision_and_the_switch_stays(program):
    wide = WORDS.double() @ REGIONS.double().T
    torch.testing.assert_close(scores_of(WORDS, REGIONS, "fp32").double(), wide, rtol=0, atol=1e-4)
    with full_precision(torch.device("cpu")):
        torch.testing.assert_close((WORDS @ REGIONS.T).double(), wide, rtol=0, atol=1e-4)
    assert torch.get_float32_matmul_precision() == program


def test_bf16_rounds_the_operands_and_sums_in_float32():
    wide = WORDS.bfloat16().double() @ REGIONS.bfloat16().double().T
    found = scores_of(WORDS, REGIONS, "bf16")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wide, rtol=0, atol=1e-4)
    assert (found - WORDS @ REGIONS.T).abs().max() > 1e-3


@pytest.mark.parametrize("product", PRODUCTS)
def test_float64_is_never_rounded(product):
    wide = WORDS.double() @ REGIONS.double().T
    torch.testing.assert_close(scores_of(WORDS.double(), REGIONS.double(), product), wide)


@few_rules
def test_a_bf16_product_moves_scores_a_little(rule):
    batch = Batch(dim=64, dtype=torch.float32)
    full = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    rounded = similarity_matrix(batch.regions, batch.words, rule, product="bf16", **batch.counts)
    assert not torch.equal(full, rounded)
    torch.testing.assert_close(rounded, full, rtol=0.02, atol=0.02)


def test_an_unknown_product_is_named():
    batch = Batch()
    with pytest.raises(ValueError, match="fp32, tf32, bf16, not 'fp8'"):
        similarity_matrix(batch.regions, batch.words, Attention(), product="fp8", **batch.counts)
