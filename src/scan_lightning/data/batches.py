"""What a loader hands over: images, captions, or pairs of them, padded, with their counts.

Shapes: n items, k regions at most, t tokens at most, F feature width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tensors:
    """Changes every field at once."""

    def map(self, change: Callable[[Any], Any]) -> Self:
        """Return the same with each tensor changed, those of its parts too."""
        parts = vars(self).items()
        return type(self)(
            **{name: part.map(change) if isinstance(part, Tensors) else change(part) for name, part in parts}
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the same on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return the same in page-locked memory, from where a GPU copies without waiting."""
        return self.map(Tensor.pin_memory)


@dataclass(frozen=True)
class ImageBatch(Tensors):
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
class CaptionBatch(Tensors):
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
class PairBatch(Tensors):
    """Row i of `images` and row i of `captions` belong together."""

    images: ImageBatch
    captions: CaptionBatch

    def __len__(self) -> int:
        return len(self.captions)
