"""The embeddings of all processes in one batch, with gradients.

Processes hold unequal numbers of pairs of unequal lengths, some may hold none; what is sent is padded to the
longest, since a collective of unequal shapes would hang.

Shape legend: N processes, n pairs of this one, B pairs of all, K regions, W words, D dimension, M rows sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from scan_lightning.model.scan import Embedded


@dataclass(frozen=True)
class Gathered(Embedded):
    """The pairs of all processes, in the order of their ranks.

    Attributes:
        sizes: how many are of each process.
        rank: this process.
    """

    sizes: list[int]
    rank: int

    @property
    def own(self) -> slice:
        """Where this process's own pairs are; empty when it has none."""
        first = sum(self.sizes[: self.rank])
        return slice(first, first + self.sizes[self.rank])


def gather_pairs(own: Embedded) -> Gathered:
    """Return the pairs of all processes; each calls this, with or without pairs of its own.

    Args:
        own: the process's pairs. Its embeddings require a gradient in every process or in none: the backward
            pass is a collective, too.
    """
    device = own.regions.device
    kinds = (own.region_counts, own.word_counts)
    sizes = torch.tensor([len(own), *(int(counts.sum()) for counts in kinds)], device=device)
    sizes_N3 = gather_rows(sizes).cpu()
    counts = torch.zeros(int(sizes_N3[:, 0].max()), 2, dtype=torch.int64, device=device)
    counts[: len(own)] = torch.stack(kinds, 1).to(device)
    counts_N = [part[:size] for part, size in zip(gather_rows(counts).cpu(), sizes_N3[:, 0], strict=True)]
    region_counts, word_counts = torch.cat(counts_N).unbind(1)

    # One message: real rows of regions, then of words, then whatever.
    rows = [_real_rows(own.regions, own.region_counts), _real_rows(own.words, own.word_counts)]
    sent_MD = torch.cat(rows)
    longest = int(sizes_N3[:, 1:].sum(1).max())
    sent_MD = torch.nn.functional.pad(sent_MD, (0, 0, 0, longest - len(sent_MD)))
    received: Tensor = _GatherRows.apply(sent_MD)  # type: ignore[no-untyped-call]
    received = received.flatten(0, 1)
    starts_N = torch.arange(len(sizes_N3)) * longest
    regions = _padded(received, region_counts, starts_N, sizes_N3[:, 1])
    words = _padded(received, word_counts, starts_N + sizes_N3[:, 1], sizes_N3[:, 2])
    return Gathered(regions, words, region_counts, word_counts, sizes_N3[:, 0].tolist(), dist.get_rank())


def gather_vector(own: Tensor, sizes: list[int]) -> Tensor:
    """Return the numbers of all processes (B,), with a gradient, in the order of their ranks.

    Args:
        own: (n,) of this process.
        sizes: n of every process.
    """
    sent = torch.nn.functional.pad(own, (0, max(sizes) - len(own)))
    received: Tensor = _GatherRows.apply(sent)  # type: ignore[no-untyped-call]
    return torch.cat([part[:size] for part, size in zip(received, sizes, strict=True)])


def gather_rows(own: Tensor) -> Tensor:
    """Return the tensors of all processes, (N, ...), without a gradient; they have one shape."""
    received = own.new_empty(dist.get_world_size(), *own.shape)
    dist.all_gather(list(received.unbind(0)), own.contiguous())
    return received


class _GatherRows(torch.autograd.Function):
    """All processes' rows; backward, each gets the sum of what all of them found for its own."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return gather_rows(own)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        summed = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed[dist.get_rank()]


def _real_rows(padded: Tensor, counts: Tensor) -> Tensor:
    """Return the rows before each item's count, (sum of counts, D)."""
    real = torch.arange(padded.shape[1]) < counts[:, None]
    index = real.flatten().nonzero()[:, 0].to(padded.device)
    return padded.flatten(0, 1).index_select(0, index)


def _padded(received: Tensor, counts: Tensor, starts_N: Tensor, totals_N: Tensor) -> Tensor:
    """Return items (B, longest, D) out of the rows received; past a count any row, as padding may hold.

    Args:
        received: (N x M, D).
        counts: (B,) rows of each item.
        starts_N: where each process's rows begin.
        totals_N: how many they are.
    """
    source = torch.cat([start + torch.arange(total) for start, total in zip(starts_N, totals_N, strict=True)])
    real = torch.arange(int(counts.max())) < counts[:, None]
    index = torch.full(real.shape, int(source[0]))
    index[real] = source
    items = received.index_select(0, index.flatten().to(received.device))
    return items.view(*real.shape, -1)
