"""Captions sorted by length and laid end to end, so that no padding word is ever multiplied.

Captions of one length form a *group*: their scores are a dense (captions, words, ...) array without a mask.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """Captions of one length, laid one after another: `captions * length` rows of a pack."""

    captions: int
    length: int


@dataclass(frozen=True)
class Pack:
    """Where each packed row comes from.

    Attributes:
        captions: (C,) int64, the captions in packed order.
        row_caption: (N,) int64, the caption of each packed row.
        row_position: (N,) int64, the word position of each packed row.
        lengths: (C,) int64, words of each caption, in packed order.
        groups: the captions of each length, in packed order; the last has the longest.
    """

    captions: Tensor
    row_caption: Tensor
    row_position: Tensor
    lengths: Tensor
    groups: tuple[Group, ...]

    def to(self, device: torch.device) -> "Pack":
        """The same pack with its indices on a device."""
        return Pack(
            self.captions.to(device),
            self.row_caption.to(device),
            self.row_position.to(device),
            self.lengths.to(device),
            self.groups,
        )

    def take(self, words: Tensor) -> Tensor:
        """Packed rows (N, D) of padded words (C, W, D)."""
        return words[self.row_caption, self.row_position]

    def put_back(self, rows: Tensor, into: Tensor) -> None:
        """Add packed rows (N, D) to padded words (C, W, D): the inverse of `take`."""
        into[self.row_caption, self.row_position] += rows


def pack(counts: Tensor, captions: Tensor) -> Pack:
    """Pack some captions.

    Args:
        counts: (all captions,) int64 on the CPU, words of each caption.
        captions: (C,) int64 on the CPU, the captions to pack, already sorted by length.

    Returns:
        The pack, on the CPU.
    """
    lengths = counts[captions]
    row_caption = captions.repeat_interleave(lengths)
    ends = lengths.cumsum(0)
    row_position = torch.arange(len(row_caption)) - (ends - lengths).repeat_interleave(lengths)
    values, sizes = torch.unique_consecutive(lengths, return_counts=True)
    groups = (Group(size, length) for length, size in zip(values.tolist(), sizes.tolist(), strict=True))
    return Pack(captions, row_caption, row_position, lengths, tuple(groups))
