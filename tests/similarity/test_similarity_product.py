"""The product of all rows with all rows, by either library, against float64."""

import pytest
import torch

from scan_lightning.similarity import product
from scan_lightning.similarity.product import WORTH_A_COPY, rows_times_rows

DIM = 256
SIDE = int((WORTH_A_COPY // DIM) ** 0.5)


@pytest.fixture(autouse=True, params=["AVX512", "DEFAULT"])
def capability(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both paths, whatever this machine has."""
    if request.param == "AVX512" and not torch.backends.mkldnn.is_available():
        pytest.skip("torch without oneDNN")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)
    return str(request.param)


def rows(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("more", [0, 1, 37])
def test_value_and_gradient_are_those_of_float64(more: int) -> None:
    left, right = rows(SIDE + more, 0).requires_grad_(), rows(SIDE, 1).requires_grad_()
    wide_left, wide_right = left.detach().double().requires_grad_(), right.detach().double().requires_grad_()
    found, expected = rows_times_rows(left, right), wide_left @ wide_right.T
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    found_grads = torch.autograd.grad(found, (left, right), grad)
    expected_grads = torch.autograd.grad(expected, (wide_left, wide_right), grad.double())
    for ours, theirs in zip(found_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=5e-4)


def test_operands_need_not_be_contiguous() -> None:
    left, right = rows(2 * SIDE, 0)[::2], rows(SIDE, 1).flip(1)
    expected = left.double() @ right.double().T
    torch.testing.assert_close(rows_times_rows(left, right).double(), expected, rtol=0, atol=1e-4)


def test_float64_is_never_rounded() -> None:
    left, right = rows(SIDE, 0).double(), rows(SIDE, 1).double()
    assert torch.equal(rows_times_rows(left, right), left @ right.T)


def test_which_library_multiplies(capability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN where the vectors are wide and the product is worth the copies."""
    asked = []
    original = torch.nn.functional.linear

    def linear(*operands: torch.Tensor) -> torch.Tensor:
        asked.append(operands)
        return original(*operands)

    monkeypatch.setattr(product.torch.nn.functional, "linear", linear)
    rows_times_rows(rows(SIDE - 1, 0), rows(SIDE, 1))
    assert not asked
    rows_times_rows(rows(SIDE, 0), rows(SIDE, 1))
    assert len(asked) == (capability == "AVX512")
