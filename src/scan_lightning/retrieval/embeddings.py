"""The embeddings of a split: rows packed without padding.

Regions of an image, or words of a caption, lie one after the other; padding appears only in the slice that is
asked for.

Shapes: n items (images or captions), R rows in all, D the embedding's width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Embeddings:
    """Packed rows with the number of rows of each item."""

    packed: torch.Tensor  # (R, D) floats, on any device
    counts: torch.Tensor  # (n,) int64 on the CPU, rows of each item, at least 1
    # (n,) int64 on the CPU, first row of each item; None: items lie in order, without gaps
    starts: torch.Tensor | None = None

    def __post_init__(self) -> None:
        counts = torch.as_tensor(self.counts).to("cpu", torch.int64)
        ordered = self.starts is None
        rows = int(counts.sum())
        if self.packed.ndim != 2 or counts.ndim != 1 or (ordered and len(self.packed) != rows):
            raise ValueError(
                f"packed has shape {tuple(self.packed.shape)}, expected ({rows}, D): "
                "as many rows as the counts add up to"
            )
        if len(counts) and int(counts.min()) < 1:
            raise ValueError(f"item {int(counts.argmin())} has {int(counts.min())} rows, expected at least 1")
        object.__setattr__(self, "counts", counts)
        if ordered:
            object.__setattr__(self, "starts", counts.cumsum(0) - counts)

    @classmethod
    def from_batches(cls, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Embeddings:
        """Pack batches in their order.

        Args:
            batches: pairs of (items, max_rows, D) and (items,) counts; rows past a count are dropped.
        """
        packed, counts = [], []
        for padded, count in batches:
            packed.append(padded[filled(count, padded.shape[1]).to(padded.device)])
            counts.append(count.to("cpu", torch.int64))
        if not packed:
            raise ValueError("there is no batch to pack")
        return cls(torch.cat(packed), torch.cat(counts))

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def item_bytes(self) -> torch.Tensor:
        """(n,) int64: bytes of each item's rows in float32, the type they are scored in."""
        return self.counts * (self.packed.shape[1] * 4)

    def take(self, items: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return some items padded with zeros to the longest of them.

        Args:
            items: (b,) int64 which items, in any order.
            device: where the result lies.

        Returns:
            (b, max_rows, D) in float32 (float64 stays) and (b,) int64 counts, both on `device`.
        """
        counts = self.counts[items]
        rows = self.packed[self._rows(items).to(self.packed.device)].to(device)
        if rows.dtype != torch.float64:
            rows = rows.float()
        padded = rows.new_zeros(len(items), int(counts.max()), rows.shape[1])
        padded[filled(counts, padded.shape[1]).to(device)] = rows
        return padded, counts.to(device)

    def _rows(self, items: torch.Tensor) -> torch.Tensor:
        """Return the row numbers of some items, one item's after the other's."""
        counts = self.counts[items]
        within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        assert self.starts is not None
        return self.starts[items].repeat_interleave(counts) + within


def filled(counts: torch.Tensor, width: int) -> torch.Tensor:
    """Return (b, width) bool: which positions hold a row and not padding."""
    return torch.arange(width, device=counts.device) < counts[:, None]
