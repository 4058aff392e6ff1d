"""The embeddings of a whole split: rows packed without padding, in memory or in a file mapped into it.

Regions of an image, or words of a caption, lie one after the other; padding appears only in the slice that is
asked for. A split too large for memory lies in an unnamed temporary file, which the system removes when the
process ends, however it ends.

Shapes: n items (images or captions), R rows in all, D the embedding's width.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from scan_lightning.errors import ScanError


@dataclass(frozen=True)
class Embeddings:
    """Packed rows with the number of rows of each item.

    Attributes:
        packed: (R, D) floats, on any device; the rows of item i follow those of item i - 1.
        counts: (n,) int64 on the CPU, rows of each item, at least 1.
    """

    packed: torch.Tensor
    counts: torch.Tensor
    offsets: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        counts = torch.as_tensor(self.counts).to("cpu", torch.int64)
        if self.packed.ndim != 2 or counts.ndim != 1 or len(self.packed) != int(counts.sum()):
            raise ValueError(
                f"packed has shape {tuple(self.packed.shape)}, expected ({int(counts.sum())}, D): "
                "as many rows as the counts add up to"
            )
        if len(counts) and int(counts.min()) < 1:
            raise ValueError(f"item {int(counts.argmin())} has {int(counts.min())} rows, expected at least 1")
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "offsets", torch.cat([counts.new_zeros(1), counts.cumsum(0)]))

    @classmethod
    def from_batches(cls, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Embeddings:
        """Pack batches in their order.

        Args:
            batches: pairs of (items, max_rows, D) and (items,) counts; rows past a count are dropped.
        """
        packed, counts = [], []
        for padded, count in batches:
            packed.append(padded[_filled(count, padded.shape[1]).to(padded.device)])
            counts.append(count.to("cpu", torch.int64))
        if not packed:
            raise ValueError("there is no batch, so there is nothing to pack")
        return cls(torch.cat(packed), torch.cat(counts))

    @classmethod
    def allocate(
        cls,
        counts: torch.Tensor,
        dim: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        folder: Path | None = None,
    ) -> Embeddings:
        """Return embeddings to be filled by `put`, without a copy at the end.

        Args:
            counts: (n,) rows of each item.
            dim: D.
            dtype: of the rows; a file holds float16, float32 or float64.
            device: where they lie, without a folder.
            folder: when given, the rows lie in an unnamed temporary file there, mapped into memory, and only
                the pages in use take room.

        Raises:
            ScanError: the folder's disk has no room for them.
        """
        rows = int(counts.sum())
        if folder is None:
            return cls(torch.empty(rows, dim, dtype=dtype, device=device), counts)
        size = rows * dim * dtype.itemsize
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                # Reserved now: a full disk met later, inside a mapping, would kill the process (SIGBUS).
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:  # macOS
                    os.truncate(file.fileno(), size)
                array = np.memmap(file, torch.empty(0, dtype=dtype).numpy().dtype, "r+", shape=(rows, dim))
        except OSError as error:
            raise ScanError(
                f"{folder}: no room for the embeddings, {size / 2**30:.1f} GiB ({error.strerror}). "
                "Give a run_dir on a larger disk."
            ) from error
        return cls(torch.from_numpy(array), counts)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def item_bytes(self) -> torch.Tensor:
        """(n,) int64: bytes of each item's rows in float32, the type they are scored in."""
        return self.counts * (self.packed.shape[1] * 4)

    def put(self, items: torch.Tensor, padded: torch.Tensor) -> None:
        """Fill in the rows of some items.

        Args:
            items: (b,) int64 which items.
            padded: (b, max_rows, D), rows past an item's count are ignored.
        """
        counts = self.counts[items]
        rows = padded[_filled(counts, padded.shape[1]).to(padded.device)]
        self.packed[self._rows(items).to(self.packed.device)] = rows.to(self.packed)

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
        padded[_filled(counts, padded.shape[1]).to(device)] = rows
        return padded, counts.to(device)

    def _rows(self, items: torch.Tensor) -> torch.Tensor:
        """Return the row numbers of some items, one item's after the other's."""
        counts = self.counts[items]
        within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        return self.offsets[items].repeat_interleave(counts) + within


def _filled(counts: torch.Tensor, width: int) -> torch.Tensor:
    """Return (b, width) bool: which positions hold a row and not padding."""
    return torch.arange(width, device=counts.device) < counts[:, None]
