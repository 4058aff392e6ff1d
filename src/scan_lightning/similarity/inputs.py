"""What every public function accepts: checked once, with counts on the host and padding silenced."""

import math

import torch
from torch import Tensor

from scan_lightning.similarity.rule import check_rule

DEFAULT_BUDGET = (
    512 * 2**20
)  # bytes; a constant, so that block sizes and rounding never depend on the machine


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
        rule: an `Attention` or `SumMax`.
        region_counts: (images,) int in 1..max_regions, or None: every region is real.
        word_counts: (captions,) int in 1..max_words, or None: every word is real.

    Returns:
        The two counts as int64 tensors on the CPU.

    Raises:
        ValueError: anything that does not fit; the message names the argument and what was found.
    """
    check_rule(rule)
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


def silence(padded: Tensor, real: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Copy of (n, length, dim) embeddings in `dtype` with zeros at padding, whatever was there (NaN too)."""
    padded = padded.to(dtype)
    return padded if real is None else padded.masked_fill(~real[:, :, None], 0)


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
