"""What a loader hands over: images, captions, or pairs of them, padded, with their counts.

Shapes: n items, k regions at most, t tokens at most, F feature width.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Tensors:
    """Moves every field at once; torch's and Lightning's loaders look for these two methods."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the same on another device."""
        return type(self)(
            **{f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        )

    def pin_memory(self) -> Self:
        """Return the same in page-locked memory, from where a GPU copies without waiting."""
        return type(self)(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


@dataclass(frozen=True)
class ImageBatch(_Tensors):
    """Region features.

    Attributes:
        regions: (n, k, F) in the store's dtype, zero past a count. With data.cache=device, until the batch
            is on the device, (n, k) int64 rows of the table there, -1 past a count.
        counts: (n,) int64, at least 1.
    """

    regions: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class CaptionBatch(_Tensors):
    """Captions as token ids, with their start and end.

    Attributes:
        tokens: (n, t) int64, `<pad>` past a count.
        counts: (n,) int64, at least 2.
        images: (n,) int64, the position of each caption's image within the split.
    """

    tokens: Tensor
    counts: Tensor
    images: Tensor

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class PairBatch(_Tensors):
    """Row i of `images` and row i of `captions` belong together."""

    images: ImageBatch
    captions: CaptionBatch

    def __len__(self) -> int:
        return len(self.captions)
