"""One `.npz` file an image: features, mostly boxes, sometimes the picture's size. Nothing is ever unpickled.

Arrays go by the names that extractors give them: `features`, `x` or `feat` (k, D); `boxes` or `bbox` (k, 4).
The file's name is the image's id.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scan_lightning.data.layouts.captions import read_captions
from scan_lightning.data.layouts.fault import unreadable
from scan_lightning.data.layouts.find import find_files
from scan_lightning.data.layouts.join import Features, Found, join
from scan_lightning.data.layouts.source import Source
from scan_lightning.errors import ScanError
from scan_lightning.progress import progress as show_progress

FEATURES = ("features", "x", "feat")
BOXES = ("boxes", "bbox")
WIDTH = ("image_w", "width")
HEIGHT = ("image_h", "height")


def open_npz_folder(root: Path, captions: Path | None = None, *, progress: bool = True) -> Source:
    """Find the files and join them with captions.

    Args:
        root: A folder with `.npz` files, sub-folders too, or one file.
        captions: Where the captions are (see `read_captions`), by default in the folder.
        progress: Show progress on stderr.

    Raises:
        ScanError: no file, one that cannot be what it should be, or captions that do not fit.
    """
    files = find_files(root, ("**/*.npz",))
    index = read_captions(captions or (root.parent if root.is_file() else root))
    found, width = [], 0
    with show_progress("reading headers", len(files), "files", shown=progress) as advance:
        for file in files:
            advance(1)
            if index.find(file.stem) is None:
                found.append(Found(file.stem, str(file), 0, partial(_read, file)))  # left out by the join
                continue
            shape = _feature_shape(file)
            width = width or shape[1]
            if shape[1] != width:
                raise ScanError(
                    f"{file}: features are {shape[1]} wide, those before {width}. All images need one width."
                )
            found.append(Found(file.stem, str(file), shape[0], partial(_read, file)))
    return join("npz-folder", root, found, width, index)


def _feature_shape(path: Path) -> tuple[int, int]:
    """(k, D), from the array's header only."""
    with _open(path) as archive:
        name = _name(path, archive, FEATURES)
        assert name is not None
        with archive.open(f"{name}.npy") as member:
            shape, dtype = _header(path, name, member)
    if len(shape) != 2 or 0 in shape or dtype.kind != "f":
        raise ScanError(
            f"{path}: {name} is {dtype} {shape}; expected floats (regions, width), none of them 0."
        )
    return shape[0], shape[1]


def _read(path: Path) -> Features:
    with _open(path) as archive:
        features = _array(path, archive, _name(path, archive, FEATURES))
        boxes = _array(path, archive, _name(path, archive, BOXES, needed=False))
        size = [_array(path, archive, _name(path, archive, names, needed=False)) for names in (WIDTH, HEIGHT)]
    assert features is not None
    width, height = (0 if value is None else _pixels(path, value) for value in size)
    return Features(features, boxes, width, height)


def _pixels(path: Path, value: np.ndarray) -> int:
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise ScanError(
            f"{path}: the picture's width or height is {value.dtype} {value.tolist()!r}; expected one number "
            "of pixels. Correct it, or leave both out."
        )
    return int(value.item())


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (PermissionError, IsADirectoryError) as error:
        raise unreadable(path, error) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise ScanError(f"{path}: is not an .npz file or is cut short. Copy or extract it again.") from error


def _name(path: Path, archive: zipfile.ZipFile, names: tuple[str, ...], needed: bool = True) -> str | None:
    there = [name.removesuffix(".npy") for name in archive.namelist()]
    for name in names:
        if name in there:
            return name
    if needed:
        raise ScanError(f"{path}: holds {', '.join(there) or 'nothing'}; expected one of {', '.join(names)}.")
    return None


def _header(path: Path, name: str, member: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(member)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(member)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ScanError(f"{path}: the header of {name} is damaged. Copy or extract it again.") from error
    if dtype.hasobject:
        raise ScanError(
            f"{path}: {name} holds pickled Python objects, which could run any code when read, so it is not "
            "read at all. Expected an array of numbers."
        )
    return tuple(shape), dtype


def _array(path: Path, archive: zipfile.ZipFile, name: str | None) -> np.ndarray | None:
    if name is None:
        return None
    with archive.open(f"{name}.npy") as member:
        _header(path, name, member)
    try:
        with archive.open(f"{name}.npy") as member:
            array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            return array
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ScanError(f"{path}: {name} is damaged ({error}). Copy or extract it again.") from error
