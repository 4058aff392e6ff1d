"""HDF5 dumps of region features as visual question answering code holds them.

| what     | names                             | shapes                                                   |
|----------|-----------------------------------|----------------------------------------------------------|
| features | image_features, features          | (N, k, D), (N, D, k), (N, h, w, D); or (R, D), all images |
| boxes    | image_bb, boxes                   | (N, k, 4); (N, 4, k); or (R, 4)                          |
| rows     | pos_boxes; offsets                | (N, 2) first and last + 1; (N + 1,); needed with (R, D)  |
| counts   | num_boxes                         | (N,) regions that are no padding                         |
| ids      | ids, image_ids, image_id          | (N,) numbers or strings; else the file `NAME_ids.txt`    |
| sizes    | image_w, image_h; widths, heights | (N,) pixels                                              |

`arrays.py` has more names. A file with a dataset or a group for each image is read too.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scan_lightning.data.datasets import READ_ERRORS, first_line
from scan_lightning.data.layouts.arrays import (
    BOXES,
    COUNT,
    FEATURES,
    HEIGHT,
    READ,
    WIDTH,
    feature_name,
    first_of,
    same_width,
    unread_note,
)
from scan_lightning.data.layouts.caption_index import CaptionIndex
from scan_lightning.data.layouts.hdf5_images import HDF5Images, own_array
from scan_lightning.data.layouts.source_files import find_files, iter_lines, unreadable
from scan_lightning.data.layouts.sources import Features, Found, Source, join
from scan_lightning.data.strings import is_text, read_strings
from scan_lightning.errors import ScanError

IDS = ("ids", "image_ids", "image_id")
ROWS = ("pos_boxes", "offsets")
FILES = ("*.hdf5", "*.h5")


def open_source(root: Path, index: CaptionIndex) -> Source:
    """Find the `.hdf5` and `.h5` files of a folder, or one file, and join them with captions."""
    dumps: list[_Dump | HDF5Images] = []
    for path in find_files(root, FILES):
        file = _open(path)
        try:
            kind = _Dump if first_of(file, (*FEATURES, *ROWS, *IDS)) else HDF5Images
            dumps.append(kind(path, file))
        except READ_ERRORS as error:
            raise ScanError(
                f"{path}: cannot be read ({first_line(error)}). Copy or download it again."
            ) from error
        same_width(path, dumps[-1].width, dumps[0].width)
    found = [image for dump in dumps for image in dump.found()]
    unread = {name for dump in dumps for name in dump.names}
    return join("hdf5-vqa", root, found, dumps[0].width, index, unread_note(unread, (*READ, *IDS, *ROWS)))


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except PermissionError as error:
        raise unreadable(path, error) from error
    except OSError as error:
        raise ScanError(
            f"{path}: is not an HDF5 file or is cut short ({first_line(error)}). Copy or download it again."
        ) from error


class _Dump:
    """One open file and how its rows are laid out."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file, self.names = path, file, set(file)
        feature_name(str(path), self.names)
        features = self._dataset(FEATURES)
        assert features is not None
        if features.ndim not in (2, 3, 4) or features.dtype.kind != "f" or 0 in features.shape:
            raise self._error(
                f"{features.name} is {features.dtype} {features.shape}; expected floats (images, regions, "
                "width), or (all regions, width) with pos_boxes or offsets."
            )
        self.features, self.boxes = features, self._dataset(BOXES)
        self.transposed = self._is_transposed()
        self.width = int(features.shape[1] if self.transposed else features.shape[-1])
        self.starts, self.counts = self._rows()
        self.ids = self._ids()
        self.sizes = [self._sizes(names) for names in (WIDTH, HEIGHT)]

    def found(self) -> list[Found]:
        """The images of the file."""
        return [
            Found(image_id, f"{self.path}: row {row}", int(self.counts[row]), partial(self.read, row))
            for row, image_id in enumerate(self.ids)
        ]

    def read(self, row: int) -> Features:
        """One image."""
        try:
            features = self._slice(self.features, row)
            boxes = None if self.boxes is None else self._slice(self.boxes, row)
        except READ_ERRORS as error:
            raise self._error(
                f"row {row} cannot be read ({first_line(error)}). Copy or download the file again."
            ) from error
        return Features(features, boxes, *(0 if sizes is None else int(sizes[row]) for sizes in self.sizes))

    def _error(self, message: str) -> ScanError:
        return ScanError(f"{self.path}: {message}")

    def _slice(self, dataset: h5py.Dataset, row: int) -> np.ndarray:
        start, count = int(self.starts[row]), int(self.counts[row])
        if dataset.ndim == 2:
            return np.asarray(dataset[start : start + count])
        rows = np.asarray(dataset[row])
        return (rows.T if self.transposed else rows.reshape(-1, rows.shape[-1]))[:count]

    def _is_transposed(self) -> bool:
        """Whether an image's features are (D, k): its boxes then are (4, k)."""
        boxes, features = self.boxes, self.features
        if boxes is None or boxes.shape == (*features.shape[:-1], 4):
            return False
        if features.ndim == 3 and boxes.shape == (len(features), 4, features.shape[2]):
            return True
        raise self._error(
            f"{boxes.name} is {boxes.shape}, which does not fit {features.name} {features.shape}; expected 4 "
            "in place of the width, and else the same. Correct it, or take the boxes out."
        )

    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """First row and number of regions of each image."""
        shape = self.features.shape
        if len(shape) > 2:
            limit = shape[2] if self.transposed else math.prod(shape[1:-1])
            counts = self._numbers(COUNT)
            counts = np.full(shape[0], limit) if counts is None else counts
            starts = np.zeros(shape[0], dtype=np.int64)
        else:
            limit = shape[0]
            pairs, offsets = self._numbers(("pos_boxes",)), self._numbers(("offsets",))
            if pairs is not None and pairs.ndim == 2 and pairs.shape[1] == 2:
                starts, counts = pairs[:, 0], pairs[:, 1] - pairs[:, 0]
            elif offsets is not None and offsets.ndim == 1 and len(offsets) > 1:
                starts, counts = offsets[:-1], np.diff(offsets)
            else:
                raise self._error(
                    f"{self.features.name} is {shape}, so it needs pos_boxes (images, 2) or offsets "
                    "(images + 1,) to tell which rows belong to which image."
                )
        if len(counts) != len(starts):
            raise self._error(
                f"num_boxes has {len(counts):,} rows for {len(starts):,} images; expected one each. Correct "
                "the file."
            )
        bad = (counts < 1) | (starts < 0) | (starts + counts > limit)
        if bad.any():
            image = int(bad.argmax())
            raise self._error(
                f"image {image} has {int(counts[image]):,} regions, from row {int(starts[image]):,} on "
                f"({int(bad.sum()):,} images are like this); expected one or more, among the {limit:,} there "
                "are. Is the file damaged, or made of parts of two?"
            )
        return starts, counts

    def _ids(self) -> list[str]:
        dataset = self._dataset(IDS)
        beside = self.path.with_name(f"{self.path.stem}_ids.txt")
        if dataset is not None:
            values = self._all(dataset, dataset.name).reshape(-1).tolist()
            try:
                ids = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
            except UnicodeDecodeError as error:
                raise self._error(f"{dataset.name} is not UTF-8. Correct the ids.") from error
        elif beside.exists():
            ids = list(iter_lines(beside))
        else:
            raise self._error(
                f"holds no ids ({', '.join(IDS)}). Write them to {beside.name}, one a line in the order of "
                "the rows. A pickled imgid2idx is never read: it could run any code; if you trust yours, "
                "sort its keys by their values and print them."
            )
        if len(ids) != len(self.starts):
            raise self._error(
                f"has {len(ids):,} ids for {len(self.starts):,} images; expected one each. Correct the ids."
            )
        return ids

    def _sizes(self, names: tuple[str, ...]) -> np.ndarray | None:
        values = self._numbers(names)
        if values is not None and values.shape != self.starts.shape:
            raise self._error(
                f"{' or '.join(names)} is {values.shape}; expected {self.starts.shape}, a number an image. "
                "Correct it, or take it out."
            )
        return values

    def _numbers(self, names: tuple[str, ...]) -> np.ndarray | None:
        dataset = self._dataset(names)
        if dataset is None:
            return None
        if dataset.dtype.kind not in "iuf" or (dataset.ndim > 0 and len(dataset) == 0):
            raise self._error(f"{dataset.name} is {dataset.dtype} {dataset.shape}; expected numbers.")
        values = self._all(dataset, dataset.name)
        if not np.isfinite(values).all():
            raise self._error(f"{dataset.name} holds NaN or infinity; expected numbers. Correct it.")
        values = values.astype(np.int64)
        return values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values

    def _all(self, dataset: Any, name: str) -> np.ndarray:
        """All of a small dataset, or of a view of one."""
        try:
            return np.array(read_strings(dataset), object) if is_text(dataset) else np.asarray(dataset[:])
        except READ_ERRORS as error:
            raise self._error(
                f"{name} cannot be read ({first_line(error)}). Copy or download the file again."
            ) from error

    def _dataset(self, names: tuple[str, ...]) -> h5py.Dataset | None:
        name = first_of(self.names, names)
        return None if name is None else own_array(self.file, str(self.path), name)
