"""HDF5 files with a dataset, or a group of arrays, for each image; the name is the image's id."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import h5py
import numpy as np

from scan_lightning.data.datasets import READ_ERRORS, first_line, own_dataset, reason
from scan_lightning.data.layouts.arrays import (
    COUNT,
    feature_name,
    first_of,
    image_features,
    region_count,
    same_width,
    table_shape,
)
from scan_lightning.data.layouts.source_files import some
from scan_lightning.data.layouts.sources import Features, Found
from scan_lightning.errors import ScanError


def own_array(file: h5py.File, where: str, name: str) -> h5py.Dataset:
    """A dataset of the file itself, never of another one that it points to."""
    try:
        return own_dataset(file, name)
    except READ_ERRORS as error:
        raise ScanError(f"{where}: {name} {reason(error)}. Copy or download the file again.") from error


class HDF5Images:
    """A file with a dataset, or a group of arrays, for each image."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file, self.width = path, file, 0
        self.ids, self.names = list(file), set[str]()
        self.shapes: dict[str, int] = {}
        if not self.ids:
            feature_name(str(path), ())
        kinds = [file.get(name, getclass=True) for name in self.ids]
        if not all(isinstance(kind, type) and issubclass(kind, (h5py.Dataset, h5py.Group)) for kind in kinds):
            raise ScanError(f"{path}: holds something that is no image: {some(self.ids)}.")
        for name, kind in zip(self.ids, kinds, strict=True):
            where, key = f"{path}: {name}", name
            if issubclass(kind, h5py.Group):
                inside = set(file[name])
                self.names |= inside
                key = f"{name}/{feature_name(where, inside)}"
                count = first_of(inside, COUNT)
            table = own_array(file, where, key)
            if key == name and table.ndim < 2:
                feature_name(str(path), self.ids)
            rows, width = table_shape(where, key, table.shape, table.dtype)
            if key != name and count is not None:
                rows = region_count(where, self._array(where, f"{name}/{count}"), rows)
            same_width(where, width, self.width)
            self.width, self.shapes[name] = width, rows

    def found(self) -> list[Found]:
        """The images of the file."""
        return [
            Found(name, f"{self.path}: {name}", rows, partial(self.read, name))
            for name, rows in self.shapes.items()
        ]

    def read(self, name: str) -> Features:
        """An image's features, boxes and size."""
        where, node = f"{self.path}: {name}", self.file[name]
        if isinstance(node, h5py.Dataset):
            return image_features(where, ["features"], lambda _: self._array(where, name))
        return image_features(where, set(node), lambda key: self._array(where, f"{name}/{key}"))

    def _array(self, where: str, key: str) -> np.ndarray:
        try:
            return np.asarray(own_array(self.file, where, key)[()])
        except READ_ERRORS as error:
            raise ScanError(f"{where}: {key} cannot be read ({first_line(error)}). Copy it again.") from error
