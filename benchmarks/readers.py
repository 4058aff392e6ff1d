"""The ways to read random batches of region features that benchmarks/streaming.py compares.

Every reader holds the same numbers, opens its file on first use in each process and gives a padded batch:
(n, k_max, D) of the stored type and the number of regions of each image.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scan_lightning.data.store import Store

Batch = tuple[np.ndarray, np.ndarray]


class StoreReader:
    """This project's reader."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path)

    def read(self, rows: np.ndarray) -> Batch:
        """One batch."""
        return self.store.read_regions(rows)


class CopyLoop:
    """The plainest fast way: a NumPy memory map of the store's array and one copy an image."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            features = file["region/features"]
            self.place: dict[str, Any] = {
                "dtype": features.dtype,
                "offset": features.id.get_offset(),
                "shape": features.shape,
            }
            self.offsets = file["region/offsets"][:]
        self.path, self.mapped = path, None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"mapped": None}

    def read(self, rows: np.ndarray) -> Batch:
        """One batch."""
        if self.mapped is None:
            self.mapped = np.memmap(self.path, mode="r", **self.place).view(np.ndarray)
        starts = self.offsets[rows]
        counts = self.offsets[rows + 1] - starts
        out = np.zeros if counts.min() < counts.max() else np.empty
        batch = out((len(rows), counts.max(), self.mapped.shape[1]), dtype=self.mapped.dtype)
        for index, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
            batch[index, :count] = self.mapped[start : start + count]
        return batch, counts


class H5pyFancy:
    """h5py's fancy index on an array (images, regions, D): sorted, without doubles, then put in order."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"file": None}

    @staticmethod
    def write(path: Path, store: Store) -> None:
        """Copy a store whose images all have the same number of regions."""
        shape = (store.image_count, store.region_count // store.image_count, store.feature_dim)
        with h5py.File(path, "w") as file:
            features = file.create_dataset("features", shape, store.feature_dtype)
            for rows in _blocks(store):
                features[rows[0] : rows[-1] + 1] = store.read_regions(rows)[0]

    def read(self, rows: np.ndarray) -> Batch:
        """One batch."""
        if self.file is None:
            self.file = h5py.File(self.path)
        unique, inverse = np.unique(rows, return_inverse=True)
        features = self.file["features"][unique]
        batch = features if len(unique) == len(rows) and (unique == rows).all() else features[inverse]
        return batch, np.full(len(rows), features.shape[1])


class H5pySlices:
    """h5py's plain slices on the store's array, one an image: for different numbers of regions."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, None
        with h5py.File(path) as file:
            self.offsets = file["region/offsets"][:]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"file": None}

    def read(self, rows: np.ndarray) -> Batch:
        """One batch."""
        if self.file is None:
            self.file = h5py.File(self.path)
        features = self.file["region/features"]
        starts = self.offsets[rows]
        counts = self.offsets[rows + 1] - starts
        batch = np.zeros((len(rows), counts.max(), features.shape[1]), dtype=features.dtype)
        for index, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
            batch[index, :count] = features[start : start + count]
        return batch, counts


class NpyTake:
    """An `.npy` file as np.load maps it, read by np.take; a fixed number of regions only."""

    def __init__(self, path: Path) -> None:
        self.path, self.mapped = path, None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"mapped": None}

    @staticmethod
    def write(path: Path, store: Store) -> None:
        """Copy a store whose images all have the same number of regions."""
        shape = (store.image_count, store.region_count // store.image_count, store.feature_dim)
        out = np.lib.format.open_memmap(path, "w+", store.feature_dtype, shape)
        for rows in _blocks(store):
            out[rows[0] : rows[-1] + 1] = store.read_regions(rows)[0]
        out.flush()

    def read(self, rows: np.ndarray) -> Batch:
        """One batch."""
        if self.mapped is None:
            self.mapped = np.load(self.path, mmap_mode="r")
        return np.take(self.mapped, rows, axis=0), np.full(len(rows), self.mapped.shape[1])


class Lmdb:
    """LMDB, one value an image, as many retrieval code bases hold features."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path, self.env = path, None
        self.dtype, self.dim = store.feature_dtype, store.feature_dim

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"env": None}

    @staticmethod
    def write(path: Path, store: Store) -> None:
        """Copy a store."""
        import lmdb

        bytes_in_all = store.region_count * store.feature_dim * store.feature_dtype.itemsize
        env = lmdb.open(str(path), map_size=2 * bytes_in_all + (64 << 20))
        for rows in _blocks(store):
            features, counts = store.read_regions(rows)
            with env.begin(write=True) as transaction:
                for index, row in enumerate(rows.tolist()):
                    transaction.put(b"%08d" % row, features[index, : counts[index]].tobytes())
        env.close()

    def read(self, rows: np.ndarray) -> Batch:
        """One batch."""
        if self.env is None:
            import lmdb

            self.env = lmdb.open(str(self.path), readonly=True, lock=False, readahead=False)
        with self.env.begin(buffers=True) as transaction:
            values = [
                np.frombuffer(transaction.get(b"%08d" % row), dtype=self.dtype).reshape(-1, self.dim)
                for row in rows.tolist()
            ]
            counts = np.array([len(value) for value in values])
            out = np.zeros if counts.min() < counts.max() else np.empty
            batch = out((len(rows), counts.max(), self.dim), dtype=self.dtype)
            for index, value in enumerate(values):
                batch[index, : len(value)] = value
        return batch, counts


def _blocks(store: Store) -> list[np.ndarray]:
    """Rows of a store, some at a time."""
    return np.array_split(np.arange(store.image_count), -(-store.image_count // 256))
