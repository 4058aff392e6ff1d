"""One `.npz` file an image: features, mostly boxes, sometimes the picture's size. Nothing is ever unpickled.

Arrays have the names that extractors give them: `features`, `x` or `feat` (k, D); `boxes` or `bbox` (k, 4).
The file's name is the image's id.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.caption_index import read_captions
from scan_lightning.data.layouts.npy import HEADER_ERRORS, PICKLED, parse_header
from scan_lightning.data.layouts.source_files import find_files, unreadable
from scan_lightning.data.layouts.sources import Features, Found, Source, join
from scan_lightning.errors import ScanError
from scan_lightning.progress import progress

FEATURES = ("features", "x", "feat")
BOXES = ("boxes", "bbox")
SIZES = (("image_w", "width"), ("image_h", "height"))
_DAMAGE = (*HEADER_ERRORS, OSError, zipfile.BadZipFile, zlib.error)


def open_source(root: Path, captions: Path | None = None) -> Source:
    """Find the `.npz` files of a folder and its sub-folders, or one file, and join them with captions."""
    files = find_files(root, ("**/*.npz",))
    index = read_captions(captions or (root.parent if root.is_file() else root))
    found, width = [], 0
    with progress("reading headers", len(files), "files") as advance:
        for file in files:
            advance(1)
            regions = 0
            if index.find(file.stem) is not None:  # others are left out by the join
                regions, own = _feature_shape(file)
                width = width or own
                if own != width:
                    raise ScanError(
                        f"{file}: features are {own} wide, those before {width}. All images need one width."
                    )
            found.append(Found(file.stem, str(file), regions, partial(_read, file)))
    return join("npz-folder", root, found, width, index)


def _feature_shape(path: Path) -> tuple[int, int]:
    """(k, D), from the array's header only."""
    with _open(path) as archive:
        name = _feature_name(path, archive)
        shape, dtype = _header(path, archive, name)
    if len(shape) != 2 or 0 in shape or dtype.kind != "f":
        raise ScanError(
            f"{path}: {name} is {dtype} {shape}; expected floats (regions, width), none of them 0."
        )
    return shape[0], shape[1]


def _read(path: Path) -> Features:
    with _open(path) as archive:
        features = _array(path, archive, (_feature_name(path, archive),))
        boxes, *sizes = (_array(path, archive, names) for names in (BOXES, *SIZES))
    assert features is not None
    return Features(features, boxes, *(0 if value is None else _pixels(path, value) for value in sizes))


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


def _feature_name(path: Path, archive: zipfile.ZipFile) -> str:
    there = [name.removesuffix(".npy") for name in archive.namelist()]
    for name in FEATURES:
        if name in there:
            return name
    raise ScanError(f"{path}: holds {', '.join(there) or 'nothing'}; expected one of {', '.join(FEATURES)}.")


def _header(path: Path, archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    try:
        with archive.open(f"{name}.npy") as member:
            shape, _, dtype = parse_header(member)  # type: ignore[arg-type]
    except _DAMAGE as error:
        raise ScanError(f"{path}: the header of {name} is damaged. Copy or extract it again.") from error
    if dtype.hasobject:
        raise ScanError(f"{path}: {name} {PICKLED}")
    return tuple(shape), dtype


def _array(path: Path, archive: zipfile.ZipFile, names: tuple[str, ...]) -> np.ndarray | None:
    """The first array of one of these names; None when there is none."""
    there = archive.namelist()
    name = next((name for name in names if f"{name}.npy" in there), None)
    if name is None:
        return None
    _header(path, archive, name)
    try:
        with archive.open(f"{name}.npy") as member:
            array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            return array
    except _DAMAGE as error:
        raise ScanError(f"{path}: {name} is damaged ({error}). Copy or extract it again.") from error
