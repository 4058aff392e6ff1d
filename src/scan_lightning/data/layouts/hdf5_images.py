"""HDF5 files with a dataset, or a group of arrays, for each image; the name is the image's id."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import h5py
import numpy as np

from scan_lightning.data.datasets import READ_ERRORS, DatasetError, own_dataset, reason
from scan_lightning.data.layouts.arrays import feature_name, image_features, image_shape, same_width
from scan_lightning.data.layouts.sources import Features, Found
from scan_lightning.errors import ScanError

_INFLATED = 1100  # times: deflate reaches 1,032


def own_array(file: h5py.File, where: str, name: str) -> h5py.Dataset:
    """A dataset of the file itself, never of another one that it points to, and no larger than it can be."""
    try:
        dataset = own_dataset(file, name)
        if dataset.nbytes > _INFLATED * file.id.get_filesize():
            raise DatasetError(f"of shape {dataset.shape} is more than the file can hold")
        return dataset
    except READ_ERRORS as error:
        raise ScanError(f"{where}: {name} {reason(error)}. Copy or download the file again.") from error


class HDF5Images:
    """A file with a dataset, or a group of arrays, for each image."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file, self.width = path, file, 0
        self.names, self.rows = set[str](), dict[str, int]()
        if not any(isinstance(node, h5py.Group) or np.ndim(node) > 1 for node in file.values()):
            feature_name(str(path), list(file))  # says what is there instead
        for name in file:
            inside = self._inside(name)
            self.names |= inside
            self.rows[name], width = image_shape(
                f"{path}: {name}", inside, partial(self._header, name), partial(self._array, name)
            )
            same_width(f"{path}: {name}", width, self.width)
            self.width = width

    def found(self) -> list[Found]:
        """The images of the file."""
        return [
            Found(name, f"{self.path}: {name}", rows, partial(self.read, name))
            for name, rows in self.rows.items()
        ]

    def read(self, name: str) -> Features:
        """An image's features, boxes and size."""
        return image_features(f"{self.path}: {name}", self._inside(name), partial(self._array, name))

    def _inside(self, name: str) -> set[str]:
        """The names of an image's arrays; a dataset alone is its features."""
        node = self.file.get(name)
        return set(node) if isinstance(node, h5py.Group) else {"features"}

    def _dataset(self, name: str, key: str) -> h5py.Dataset:
        is_group = isinstance(self.file.get(name), h5py.Group)
        return own_array(self.file, str(self.path), f"{name}/{key}" if is_group else name)

    def _header(self, name: str, key: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        dataset = self._dataset(name, key)
        return dataset.shape, dataset.dtype

    def _array(self, name: str, key: str) -> np.ndarray:
        return np.asarray(self._dataset(name, key)[()])
