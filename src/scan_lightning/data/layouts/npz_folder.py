"""One `.npz` or `.npy` file an image: features, mostly boxes, perhaps the picture's size. None is unpickled.

`arrays.py` says what the arrays may be called; a `.npy` file holds the features. The file's name is
the image's id.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.arrays import (
    image_features,
    image_shape,
    same_width,
    table_shape,
    unread_note,
)
from scan_lightning.data.layouts.caption_index import CaptionIndex
from scan_lightning.data.layouts.npy import (
    HEADER_ERRORS,
    PICKLED,
    parse_header,
    read_npy_header,
    require_complete,
)
from scan_lightning.data.layouts.source_files import find_files, unreadable
from scan_lightning.data.layouts.sources import Features, Found, Source, join
from scan_lightning.errors import ScanError
from scan_lightning.progress import progress

FILES = ("**/*.npz", "**/*.npy")
_DAMAGE = (*HEADER_ERRORS, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def open_source(root: Path, index: CaptionIndex) -> Source:
    """Find the files of a folder and its sub-folders, or one file, and join them with captions."""
    files = find_files(root, FILES)
    found, width, names = [], 0, set[str]()
    with progress("reading headers", len(files), "files") as advance:
        for file, row in zip(files, index.match([file.stem for file in files]), strict=True):
            advance(1)
            regions, suspect = 0, False
            if row is not None:  # others are left out by the join
                try:
                    regions, own, there = _shape(file)
                except ScanError:
                    suspect = True
                else:
                    same_width(file, own, width)
                    width, names = own, names | there
            found.append(Found(file.stem, str(file), regions, partial(_read, file), suspect))
    return join("npz-folder", root, found, width, index, unread_note(names))


def _shape(path: Path) -> tuple[int, int, set[str]]:
    """k, D, from the headers only, and the names of all arrays."""
    if path.suffix == ".npy":
        header = read_npy_header(path)
        require_complete(path, header)
        return *table_shape(str(path), "the array", header.shape, header.dtype), set()
    with _open(path) as archive:
        names = _names(archive)
        parts = partial(_header, path, archive), partial(_array, path, archive)
        return *image_shape(str(path), names, *parts), names


def _read(path: Path) -> Features:
    if path.suffix == ".npy":
        _shape(path)  # says what is wrong with it
        return image_features(str(path), ["features"], lambda _: np.load(path, allow_pickle=False))
    with _open(path) as archive:
        return image_features(str(path), _names(archive), partial(_array, path, archive))


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (PermissionError, IsADirectoryError) as error:
        raise unreadable(path, error) from error
    except _DAMAGE as error:
        raise ScanError(f"{path}: is not an .npz file or is cut short. Copy or extract it again.") from error


def _names(archive: zipfile.ZipFile) -> set[str]:
    return {name.removesuffix(".npy") for name in archive.namelist()}


def _header(path: Path, archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    try:
        with archive.open(f"{name}.npy") as member:
            shape, _, dtype = parse_header(member)  # type: ignore[arg-type]
    except _DAMAGE as error:
        raise ScanError(f"{path}: the header of {name} is damaged. Copy or extract it again.") from error
    if dtype.hasobject:
        raise ScanError(f"{path}: {name} {PICKLED}")
    if math.prod(shape) * dtype.itemsize > archive.getinfo(f"{name}.npy").file_size:
        raise ScanError(
            f"{path}: {name} of shape {shape} is more than the file holds. Copy or extract it again."
        )
    return tuple(shape), dtype


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    _header(path, archive, name)
    try:
        with archive.open(f"{name}.npy") as member:
            array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            return array
    except _DAMAGE as error:
        raise ScanError(f"{path}: {name} is damaged ({error}). Copy or extract it again.") from error
