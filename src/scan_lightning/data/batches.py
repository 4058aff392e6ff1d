"""What a loader yields: images, captions, or pairs of them, padded, with their counts and their store rows.

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
    """Fields that move to a device together."""

    def map(self, change: Callable[[Any], Any]) -> Self:
        """The same with each tensor changed, nested ones too."""
        parts = vars(self).items()
        return type(self)(
            **{name: part.map(change) if isinstance(part, Tensors) else change(part) for name, part in parts}
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The same in page-locked memory."""
        return self.map(Tensor.pin_memory)


@dataclass(frozen=True)
class ImageBatch(Tensors):
    """Region features.

    Attributes:
        regions: (n, k, F) in the store's dtype, zero past a count. With data.cache=device, until the batch
            is on the device: (n, k) int64 rows of the table held there, -1 past a count.
        counts: (n,) int64, at least 1.
        image_rows: (n,) int64 rows of the store.
    """

    regions: Tensor
    counts: Tensor
    image_rows: Tensor

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class CaptionBatch(Tensors):
    """Captions as token ids of the text encoder.

    Attributes:
        tokens: (n, t) int64, zero past a count.
        counts: (n,) int64, at least 1.
        caption_rows: (n,) int64 rows of the store.
        image_rows: (n,) int64, the row of each caption's image.
    """

    tokens: Tensor
    counts: Tensor
    caption_rows: Tensor
    image_rows: Tensor

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class PairBatch(Tensors):
    """Row i of `images` and row i of `captions` belong together."""

    images: ImageBatch
    captions: CaptionBatch

    def __len__(self) -> int:
        return len(self.captions)
