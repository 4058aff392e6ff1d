"""How a images x captions job is cut into blocks: by a memory budget and by what a cache holds."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Sizes at which a CPU core's caches serve the steps after the product; larger blocks cost memory traffic.
CPU_REGION_ROWS = 2304
CPU_WORD_ROWS = 2048


@dataclass(frozen=True)
class BlockSize:
    """Upper limits of one block, in rows of the two operands of its product."""

    region_rows: int
    word_rows: int


def block_size(budget: int, dim: int, dtype: torch.dtype, device: torch.device, copies: int) -> BlockSize:
    """The largest block whose working set stays within the budget.

    A block of r region rows and w word rows needs about `copies` arrays of r x w scores and as many
    operand rows of `dim` numbers. The answer depends on nothing but the arguments, so the same call always
    rounds the same way.

    Args:
        budget: bytes.
        dim: embedding dimension.
        dtype: of the scores.
        device: CPU blocks are kept small enough for the caches, too.
        copies: arrays of the block's size alive at once.

    Returns:
        Limits of at least one row each; an image or caption larger than its limit makes a block of its own.
    """
    numbers = budget // (copies * dtype.itemsize)
    # r = w = x: x^2 + 2 dim x = numbers
    edge = int((dim * dim + numbers) ** 0.5) - dim
    region_rows = word_rows = max(edge, 1)
    if device.type == "cpu":
        region_rows, word_rows = min(region_rows, CPU_REGION_ROWS), min(word_rows, CPU_WORD_ROWS)
    return BlockSize(region_rows, word_rows)


def sorted_blocks(counts: Tensor, limit: int) -> Iterator[Tensor]:
    """Items sorted by count (stable) and cut into runs.

    Args:
        counts: (n,) int64 on the CPU.
        limit: largest sum over a run of (items x its largest count).

    Yields:
        (m,) int64 indices; m >= 1.
    """
    order = counts.argsort(stable=True)
    start = 0
    sizes = counts[order].tolist()
    for end in range(1, len(sizes) + 1):
        if end == len(sizes) or (end + 1 - start) * sizes[end] > limit:
            yield order[start:end]
            start = end
