"""Embeddings of a split collected in any order, on one or several processes.

Rows are appended to one growing array; where each item's rows begin is kept beside it, so that nothing is
sorted or copied at the end. An array too large for memory lies in an unnamed temporary file, which the system
removes when the process ends, however it ends.

Shapes: b items of a batch, m rows each at most, D the embedding's width.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from scan_lightning.errors import ScanError
from scan_lightning.retrieval.embeddings import Embeddings, filled

CHUNK_BYTES = 64 * 2**20  # of one broadcast


class EmbeddingStore:
    """Embeddings by item, in float32. The first embedding of an item is kept, later ones are dropped.

    Args:
        dim: D.
        folder: where the temporary file is made when the rows would take more than `memory_limit`.
        device: where batches are computed, which collectives use. A GPU also holds the result when that takes
            at most a quarter of its memory.
        memory_limit: bytes this process may hold in memory; default: a quarter of the machine's memory,
            shared by the processes of the group.
    """

    def __init__(
        self,
        dim: int,
        folder: Path,
        *,
        device: torch.device | str = "cpu",
        memory_limit: int | None = None,
    ) -> None:
        self._dim, self._folder, self._device = dim, folder, torch.device(device)
        processes = dist.get_world_size() if _distributed() else 1
        self._limit = _physical_memory() // 4 // processes if memory_limit is None else memory_limit
        self._array: npt.NDArray[np.float32] = np.empty((0, dim), np.float32)
        self._file: IO[bytes] | None = None
        self._used = 0
        self._places: dict[int, tuple[int, int]] = {}  # item id: first row, number of rows

    def __len__(self) -> int:
        return len(self._places)

    def add(self, ids: Tensor, padded: Tensor, counts: Tensor) -> None:
        """Append a batch.

        Args:
            ids: (b,) int64, any order, repeated or not.
            padded: (b, m, D), on any device; rows past an item's count are ignored.
            counts: (b,) integers, 1 to m.

        Raises:
            ScanError: the temporary file does not fit on its disk.
        """
        first = {item: position for position, item in reversed(list(enumerate(ids.tolist())))}
        new = torch.tensor(sorted(first[item] for item in first.keys() - self._places.keys()))
        if len(new):
            ids, counts, padded = ids.cpu()[new], counts.cpu()[new], padded[new.to(padded.device)]
            self._append(ids, counts, padded[filled(counts, padded.shape[1]).to(padded.device)])

    def exchange(self) -> None:
        """Give every process of the default group the items of all; a collective call.

        Of an item that several processes hold, every process keeps the embedding of the lowest rank.
        """
        if not _distributed():
            return
        rank, world = dist.get_rank(), dist.get_world_size()
        tables: list[dict[int, int]] = [{}] * world
        dist.all_gather_object(tables, {item: count for item, (_, count) in self._places.items()})
        kept, self._places = self._places, {}
        for source, table in enumerate(tables):
            new = [pair for pair in table.items() if pair[0] not in self._places]
            items = torch.tensor(new, dtype=torch.int64).view(-1, 2)
            for part in _chunks(items, self._dim * 4):
                if source == rank:
                    sent = torch.from_numpy(self._array[_row_index(kept, part[:, 0].tolist())])
                else:
                    sent = torch.empty(int(part[:, 1].sum()), self._dim)
                sent = sent.to(self._device)
                dist.broadcast(sent, src=source)
                if source != rank:
                    self._append(part[:, 0], part[:, 1], sent)
            if source == rank:
                self._places.update((item, kept[item]) for item, _ in new)

    def finish(self) -> tuple[Tensor, Embeddings]:
        """Return the ids (n,) int64, ascending, and the embeddings in that order; empty the store."""
        ids = sorted(self._places)
        places = torch.tensor([self._places[item] for item in ids], dtype=torch.int64).view(-1, 2)
        if self._file is None:
            self._array.resize((self._used, self._dim), refcheck=False)
        else:
            self._file.close()  # the mapping keeps the file
            self._file = None
        packed = torch.from_numpy(self._array[: self._used])
        self._array, self._used, self._places = np.empty((0, self._dim), np.float32), 0, {}
        if self._device.type == "cuda":
            memory = torch.cuda.get_device_properties(self._device).total_memory
            packed = packed.to(self._device) if packed.nbytes <= memory // 4 else packed
        return torch.tensor(ids, dtype=torch.int64), Embeddings(packed, places[:, 1], places[:, 0])

    def _append(self, ids: Tensor, counts: Tensor, rows: Tensor) -> None:
        self._reserve(self._used + len(rows))
        self._array[self._used : self._used + len(rows)] = rows.detach().float().cpu().numpy()
        starts = self._used + counts.cumsum(0) - counts
        places = zip(starts.tolist(), counts.tolist(), strict=True)
        self._places.update(zip(ids.tolist(), places, strict=True))
        self._used += len(rows)

    def _reserve(self, rows: int) -> None:
        """Make room for so many rows and a quarter more."""
        if rows <= len(self._array):
            return
        rows += rows // 4
        if self._file is None and rows * self._dim * 4 <= self._limit:
            self._array.resize((rows, self._dim), refcheck=False)  # in place where the system can
            return
        try:
            larger = self._map(rows)
        except OSError as error:
            raise ScanError(
                f"{self._folder}: no space for the embeddings, {rows * self._dim * 4 / 2**30:.1f} GiB "
                f"({error.strerror}). Give a run_dir on a larger disk."
            ) from error
        self._array = larger

    def _map(self, rows: int) -> npt.NDArray[np.float32]:
        size = rows * self._dim * 4
        moved = self._file is None
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 closed by `finish`
        # Reserved now: a full disk met later, inside a mapping, would kill the process (SIGBUS).
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file.fileno(), 0, size)
        else:  # macOS
            os.truncate(self._file.fileno(), size)
        array: Any = np.memmap(self._file, np.float32, "r+", shape=(rows, self._dim))
        if moved:
            array[: self._used] = self._array[: self._used]
        return np.asarray(array)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _chunks(items: Tensor, row_bytes: int) -> list[Tensor]:
    """Cut (n, 2) ids and counts into runs whose rows take about `CHUNK_BYTES`."""
    number = items[:, 1].cumsum(0) * row_bytes // CHUNK_BYTES
    return [items[number == chunk] for chunk in sorted(set(number.tolist()))]


def _row_index(places: dict[int, tuple[int, int]], ids: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.arange(first, first + count) for first, count in map(places.__getitem__, ids)])
