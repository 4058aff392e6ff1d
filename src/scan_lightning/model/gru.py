"""One GRU layer over packed captions, on the CPU, with its gradient written out.

torch builds the gradient of its CPU GRU step by step: for every word a product per weight matrix, each added
to the last. Here the steps keep what they need, and each weight's gradient is one product over all words at
the end: the same function and gradient in four fifths of the time. On a GPU cuDNN does it better.

Shapes: N packed words, b captions alive at a step, I input width, H hidden width; gates in torch's order
r (reset), z (update), n (new). A layer computes, from a word x and the state h before it,

    r = sigmoid(Wr x + Ur h)   z = sigmoid(Wz x + Uz h)   n = tanh(Wn x + r * (Un h))   h' = n + z * (h - n)

with a bias in every product.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence


def run_gru(layer: nn.GRU, packed: PackedSequence) -> PackedSequence:
    """Return the hidden states of a one-layer GRU that starts from zeros, as `layer(packed)[0]` does.

    Args:
        layer: one layer, one or two directions, without dropout.
        packed: captions of width I.

    Returns:
        Packed states of width H, or 2 H: forward, then backward.
    """
    if packed.data.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        states: PackedSequence = layer(packed)[0]
        return states
    sizes = packed.batch_sizes.tolist()
    suffixes = ("", "_reverse") if layer.bidirectional else ("",)
    directions: list[Tensor] = [
        _Direction.apply(packed.data, *_weights(layer, suffix), sizes, suffix != "")  # type: ignore[no-untyped-call]
        for suffix in suffixes
    ]
    return PackedSequence(
        torch.cat(directions, 1), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )


def _weights(layer: nn.GRU, suffix: str) -> list[Tensor]:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return [getattr(layer, name + suffix) for name in names]


class _Direction(torch.autograd.Function):
    """The states (N, H) of one direction."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w: Tensor,
        u: Tensor,
        w_bias: Tensor,
        u_bias: Tensor,
        sizes: list[int],
        reverse: bool,
    ) -> Tensor:
        hidden = u.shape[1]
        gates = torch.addmm(w_bias, x, w.T)  # (N, 3H); becomes r, z, n
        before = x.new_empty(len(x), hidden)  # h before each word
        un = x.new_empty(len(x), hidden)  # Un h + its bias
        after = x.new_empty(len(x), hidden)
        h = x.new_zeros(0 if reverse else sizes[0], hidden)
        for rows in _steps(sizes, reverse):
            h = _alive(h, rows.stop - rows.start)
            before[rows] = h
            uh = torch.addmm(u_bias, h, u.T)
            rz, n = gates[rows, : 2 * hidden], gates[rows, 2 * hidden :]
            rz.add_(uh[:, : 2 * hidden]).sigmoid_()
            un[rows] = uh[:, 2 * hidden :]
            n.addcmul_(rz[:, :hidden], un[rows]).tanh_()
            h = torch.lerp(n, h, rz[:, hidden:], out=after[rows])
        ctx.save_for_backward(x, w, u, gates, before, un)
        ctx.sizes, ctx.reverse = sizes, reverse
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, w, u, gates, before, un = ctx.saved_tensors
        hidden = u.shape[1]
        r, z, n = gates.split(hidden, 1)
        # What does not depend on the gradient still to come, for all words at once. d_gates starts as the
        # derivative of h' by each gate's sum, and is multiplied by the gradient of h' as that is found.
        d_gates = torch.empty_like(gates)
        d_n = torch.mul(1 - z, 1 - n * n, out=d_gates[:, 2 * hidden :])
        torch.mul(d_n, un * r * (1 - r), out=d_gates[:, :hidden])
        torch.mul(before - n, z * (1 - z), out=d_gates[:, hidden : 2 * hidden])
        d_uh = torch.empty_like(gates)  # by Ur h, Uz h, Un h
        carried = x.new_zeros(0, hidden)
        for rows in reversed(_steps(ctx.sizes, ctx.reverse)):
            d_h = grads[0][rows] + _alive(carried, rows.stop - rows.start)
            for gate in range(3):
                d_gates[rows, gate * hidden : (gate + 1) * hidden].mul_(d_h)
            d_uh[rows] = d_gates[rows]
            d_uh[rows, 2 * hidden :].mul_(r[rows])
            carried = torch.addmm(d_h.mul_(z[rows]), d_uh[rows], u)
        return (
            d_gates @ w,
            d_gates.T @ x,
            d_uh.T @ before,
            d_gates.sum(0),
            d_uh.sum(0),
            None,
            None,
        )


def _steps(sizes: list[int], reverse: bool) -> list[slice]:
    """Return the packed rows of each step, in the order in which a direction reads the words."""
    steps = [slice(stop - size, stop) for size, stop in zip(sizes, accumulate(sizes), strict=True)]
    return steps[::-1] if reverse else steps


def _alive(h: Tensor, count: int) -> Tensor:
    """Return the first `count` rows of h: captions that ended leave, captions that begin start from zero."""
    if count <= len(h):
        return h[:count]
    return torch.cat([h, h.new_zeros(count - len(h), h.shape[1])])
