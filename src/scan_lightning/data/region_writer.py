"""Writes the big arrays of a store row by row, in blocks, with a digest a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import torch

from scan_lightning.data.checksums import digest, rows_per_block, store_digests
from scan_lightning.data.hdf5_file import reserve
from scan_lightning.errors import ScanError


def contiguous_dataset(file: h5py.File, path: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    """A contiguous, uncompressed dataset whose space is allocated at once: its offset exists from here on."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(np.dtype(dtype).newbyteorder("<"))
    space = h5py.h5s.create_simple(shape)
    return h5py.Dataset(h5py.h5d.create(file.id, path.encode(), kind, space, layout))


class BlockWriter:
    """Fills one contiguous dataset from front to back; a block is digested and written when it is full."""

    def __init__(self, file: h5py.File, path: str, shape: tuple[int, ...], dtype: str) -> None:
        self.file, self.path = file, path
        reserve(file)
        self.dataset = contiguous_dataset(file, path, shape, dtype)
        rows = rows_per_block(shape[1:], np.dtype(dtype))
        self.block: np.ndarray = np.empty((rows, *shape[1:]), dtype=dtype)
        self.filled = 0  # rows waiting in the block
        self.written = 0  # rows of the dataset done
        self.digests: list[np.ndarray] = []

    def append(self, rows: np.ndarray) -> None:
        """Write (n, ...) rows of the dataset's own type."""
        while len(rows):
            count = min(len(rows), len(self.block) - self.filled)
            self.block[self.filled : self.filled + count] = rows[:count]
            self.filled += count
            rows = rows[count:]
            if self.filled == len(self.block):
                self._flush()

    def rewrite(self, change: Callable[[int, np.ndarray], np.ndarray]) -> None:
        """Replace all rows; `change` has the first row and the rows of each block in turn."""
        if self.filled:
            self._flush()
        for index, start in enumerate(range(0, self.written, len(self.block))):
            stop = min(start + len(self.block), self.written)
            self.dataset[start:stop] = rows = change(start, self.dataset[start:stop])
            self.digests[index] = digest(rows)

    def finish(self) -> None:
        """Write what waits and the digests."""
        if self.filled:
            self._flush()
        reserve(self.file)
        store_digests(self.file, self.path, self.digests, len(self.block))

    def _flush(self) -> None:
        rows = self.block[: self.filled]
        self.digests.append(digest(rows))
        self.dataset[self.written : self.written + self.filled] = rows
        self.written += self.filled
        self.filled = 0


class FeatureCaster:
    """Checks an image's features and brings them to the stored type (torch casts ten times faster)."""

    def __init__(self, dtype: str, feature_dim: int) -> None:
        self.dtype = dtype
        self.feature_dim = feature_dim
        self.limit = float(np.finfo(dtype).max)

    def cast(self, features: np.ndarray, image: str) -> np.ndarray:
        """Features (k, D) of any float type as the stored one, k >= 1; `image` names the image in messages.

        Raises:
            ScanError: wrong shape or type, a value that is no number, or too large for the stored type.
        """
        if features.ndim != 2 or features.shape[1] != self.feature_dim or len(features) == 0:
            raise ScanError(
                f"{image}: features have shape {features.shape}; expected (regions, {self.feature_dim}) "
                "with at least one region. All images of a store have the same feature width."
            )
        if features.dtype.kind != "f":
            raise ScanError(f"{image}: features are {features.dtype}; expected float16, float32 or float64.")
        native = features.dtype.newbyteorder("=")
        source = torch.from_numpy(np.array(features, dtype=native, order="C"))
        low, high = (float(value) for value in torch.aminmax(source))  # NaN wins in both
        if not (low >= -self.limit and high <= self.limit):
            raise ScanError(f"{image}: {self._problem(features)}")
        stored: np.ndarray[Any, Any] = source.to(getattr(torch, self.dtype)).numpy()
        return stored

    def _problem(self, features: np.ndarray) -> str:
        finite = np.isfinite(features)
        if finite.all():
            row, column = np.unravel_index(int(np.abs(features).argmax()), features.shape)
            return (
                f"feature {column} of region {row} is {features[row, column]:g}; {self.dtype} ends at "
                f"{self.limit:g}. Give --dtype float32."
            )
        row, column = np.unravel_index(int(finite.argmin()), features.shape)
        return (
            f"feature {column} of region {row} is {features[row, column]}; expected finite numbers "
            f"({int((~finite).sum()):,} of {finite.size:,} values are not). Extract the features of this "
            "image again."
        )
