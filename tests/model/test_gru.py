"""The GRU with its own gradient against torch's layer, and against the equations, caption by caption."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from scan_lightning.model.gru import run_gru

COUNTS = torch.tensor([3, 7, 1, 4, 4])


def make(bidirectional: bool) -> tuple[nn.GRU, Tensor]:
    torch.manual_seed(0)
    layer = nn.GRU(5, 6, batch_first=True, bidirectional=bidirectional, dtype=torch.float64)
    return layer, torch.randn(len(COUNTS), 7, 5, dtype=torch.float64, requires_grad=True)


def packed(x: Tensor, counts: Tensor = COUNTS) -> PackedSequence:
    return pack_padded_sequence(x, counts, batch_first=True, enforce_sorted=False)


def by_the_equations(layer: nn.GRU, words: Tensor, suffix: str) -> Tensor:
    """States (n, H) of one caption (n, I), read in the order given."""
    w, u, w_bias, u_bias = (
        getattr(layer, name + suffix) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    )
    h, states = torch.zeros(layer.hidden_size, dtype=words.dtype), []
    for x in words:
        (wr, wz, wn), (ur, uz, un) = (w @ x + w_bias).chunk(3), (u @ h + u_bias).chunk(3)
        r, z = torch.sigmoid(wr + ur), torch.sigmoid(wz + uz)
        h = (1 - z) * torch.tanh(wn + r * un) + z * h
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_follow_the_equations(bidirectional: bool) -> None:
    layer, x = make(bidirectional)
    found, counts = pad_packed_sequence(run_gru(layer, packed(x)), batch_first=True)
    assert counts.tolist() == COUNTS.tolist()
    for caption, count in enumerate(COUNTS.tolist()):
        words = x[caption, :count]
        expected = by_the_equations(layer, words, "")
        if bidirectional:
            backward = by_the_equations(layer, words.flip(0), "_reverse").flip(0)
            expected = torch.cat([expected, backward], 1)
        assert torch.allclose(found[caption, :count], expected, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("counts", [COUNTS, torch.tensor([7, 7, 7, 7, 7]), torch.tensor([1, 1, 1, 1, 7])])
def test_gradients_are_those_of_torch(bidirectional: bool, counts: Tensor) -> None:
    layer, x = make(bidirectional)
    leaves = [x, *layer.parameters()]
    ours, theirs = run_gru(layer, packed(x, counts)).data, layer(packed(x, counts))[0].data
    weights = torch.randn_like(ours)
    found = torch.autograd.grad((ours * weights).sum(), leaves)
    expected = torch.autograd.grad((theirs * weights).sum(), leaves)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_no_gradient_is_asked_of_inputs_that_need_none() -> None:
    layer, x = make(True)
    run_gru(layer, packed(x.detach())).data.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_mixed_precision_is_left_to_torch() -> None:
    layer, x = make(True)
    layer, x = layer.float(), x.detach().float()
    with torch.autocast("cpu", torch.bfloat16):
        found = run_gru(layer, packed(x)).data
        assert torch.equal(found, layer(packed(x))[0].data)
