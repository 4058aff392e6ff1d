"""What every public function accepts, and how a job is cut into blocks by a memory budget."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from scan_lightning.similarity.base import Similarity

# Bytes; a constant, so that block sizes and rounding never depend on the machine.
DEFAULT_BUDGET = 512 * 2**20
# Sizes at which a CPU core's caches serve the steps after the product; larger blocks cost memory traffic.
CPU_REGION_ROWS = 2304
CPU_WORD_ROWS = 2048


def check_inputs(
    regions: Tensor,
    words: Tensor,
    rule: object,
    region_counts: Tensor | None,
    word_counts: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Check embeddings, rule and counts.

    Args:
        regions: (images, max_regions, dim), floating.
        words: (captions, max_words, dim), floating.
        rule: a `Similarity`.
        region_counts: (images,) int in 1..max_regions, or None: every region is real.
        word_counts: (captions,) int in 1..max_words, or None: every word is real.

    Returns:
        The two counts as int64 tensors on the CPU.

    Raises:
        ValueError: anything that does not fit; the message names the argument and what was found.
    """
    if not isinstance(rule, Similarity):
        raise ValueError(f"rule must be a Similarity, such as Attention, not {type(rule).__name__}")
    for name, tensor, shape in (
        ("regions", regions, "(images, max_regions, dim)"),
        ("words", words, "(captions, max_words, dim)"),
    ):
        if tensor.dim() != 3:
            raise ValueError(f"{name} must have 3 dimensions {shape}, not shape {tuple(tensor.shape)}")
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must hold floating-point numbers, not {tensor.dtype}")
        if 0 in tensor.shape:
            raise ValueError(f"{name} has no elements: shape {tuple(tensor.shape)}, meaning {shape}")
    if regions.shape[2] != words.shape[2]:
        raise ValueError(
            f"regions and words must have the same dim, not {regions.shape[2]} and {words.shape[2]}"
        )
    if regions.device != words.device:
        raise ValueError(
            f"regions and words must be on the same device, not {regions.device} and {words.device}"
        )
    return _check_counts("region_counts", region_counts, regions), _check_counts(
        "word_counts", word_counts, words
    )


def check_budget(memory_budget: int | None) -> int:
    """The budget in bytes; the default when None.

    Raises:
        ValueError: not a positive number of bytes.
    """
    if memory_budget is None:
        return DEFAULT_BUDGET
    if isinstance(memory_budget, bool) or not isinstance(memory_budget, int | float):
        raise ValueError(f"memory_budget must be a number of bytes, not {memory_budget!r}")
    if not 0 < memory_budget < math.inf:
        raise ValueError(f"memory_budget must be a positive number of bytes, not {memory_budget!r}")
    return int(memory_budget)


def compute_dtype(regions: Tensor, words: Tensor) -> torch.dtype:
    """float64 when an input is, else float32: half-precision inputs are widened before the product."""
    return torch.float64 if torch.float64 in (regions.dtype, words.dtype) else torch.float32


def real_positions(counts: Tensor, length: int, device: torch.device) -> Tensor | None:
    """(n, length) bool, True at real positions; None when there is no padding."""
    if bool((counts == length).all()):
        return None
    return (torch.arange(length) < counts[:, None]).to(device)


def zero_padding(padded: Tensor, real: Tensor | None, dtype: torch.dtype) -> Tensor:
    """(n, length, dim) embeddings in `dtype` with zeros at padding, whatever was there (NaN too)."""
    padded = padded.to(dtype)
    return padded if real is None else padded.masked_fill(~real[:, :, None], 0)


def block_rows(
    budget: int, dim: int, dtype: torch.dtype, device: torch.device, copies: float
) -> tuple[int, int]:
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
        Most region rows and most word rows of a block, at least one each; an image or caption larger than its
        limit makes a block of its own.
    """
    numbers = int(budget / (copies * dtype.itemsize))
    # r = w = x: x^2 + 2 dim x = numbers
    edge = int((dim * dim + numbers) ** 0.5) - dim
    region_rows = word_rows = max(edge, 1)
    if device.type == "cpu":
        region_rows, word_rows = min(region_rows, CPU_REGION_ROWS), min(word_rows, CPU_WORD_ROWS)
    return region_rows, word_rows


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


@dataclass(frozen=True)
class Pack:
    """Captions sorted by length and laid end to end, so that no padding word is ever multiplied.

    Attributes:
        captions: (C,) int64, the captions in packed order.
        row_caption, row_position: (N,) int64, where each packed row comes from.
        lengths: (C,) int64, words of each caption, in packed order.
        groups: (captions, length) of each run of captions of one length; the last has the longest. Its scores
            are a dense (captions, words, ...) array without a mask.
    """

    captions: Tensor
    row_caption: Tensor
    row_position: Tensor
    lengths: Tensor
    groups: tuple[tuple[int, int], ...]

    @property
    def longest(self) -> int:
        """Most words of a caption."""
        return self.groups[-1][1]

    def take(self, words: Tensor) -> Tensor:
        """Packed rows (N, D) of padded words (captions, W, D)."""
        return words[self.row_caption, self.row_position]

    def add_to(self, words: Tensor, rows: Tensor) -> None:
        """Add packed rows (N, D) to padded words (captions, W, D) in place."""
        words[self.row_caption, self.row_position] += rows


def pack(counts: Tensor, captions: Tensor, device: torch.device) -> Pack:
    """Pack some captions.

    Args:
        counts: (all captions,) int64 on the CPU, words of each caption.
        captions: (C,) int64 on the CPU, the captions to pack, already sorted by length.
        device: of the pack.
    """
    lengths = counts[captions]
    row_caption = captions.repeat_interleave(lengths)
    row_position = torch.arange(len(row_caption)) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    values, sizes = torch.unique_consecutive(lengths, return_counts=True)
    groups = tuple(zip(sizes.tolist(), values.tolist(), strict=True))
    return Pack(
        captions.to(device), row_caption.to(device), row_position.to(device), lengths.to(device), groups
    )


def _check_counts(name: str, counts: Tensor | None, padded: Tensor) -> Tensor:
    items, longest = padded.shape[:2]
    if counts is None:
        return torch.full((items,), longest, dtype=torch.int64)
    counts = torch.as_tensor(counts).cpu()
    if counts.is_floating_point() or counts.is_complex() or counts.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, not {counts.dtype}")
    if tuple(counts.shape) != (items,):
        raise ValueError(f"{name} must have shape ({items},), one count per item, not {tuple(counts.shape)}")
    counts = counts.to(torch.int64)
    for bad, fault in (
        (counts < 1, "at least 1"),
        (counts > longest, f"at most {longest} (the padded length)"),
    ):
        if bool(bad.any()):
            where = int(bad.nonzero()[0])
            raise ValueError(f"{name} must be {fault}; {name}[{where}] is {int(counts[where])}")
    return counts
