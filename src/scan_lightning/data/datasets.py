"""What every dataset of an HDF5 file has to be, checked before anything of it is read or allocated.

A file may come from a stranger, and HDF5 follows what it says: external links and virtual datasets into other
files, raw storage at any path, shapes of terabytes. So a dataset is used only when it is the file's own, of
the type and shape that `format.DATASETS` says, and no larger than the file.
"""

from __future__ import annotations

import math
from typing import Any

import h5py

from scan_lightning.data.format import DATASETS, FEATURE_DTYPES, GOLD_LINKS
from scan_lightning.data.strings import REFERENCE, extents, is_text

READ_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, ArithmeticError)  # of h5py on damage
_LINKS = {h5py.ExternalLink: "an external link", h5py.SoftLink: "a soft link"}
_KINDS = {"str": "strings", "float": " or ".join(FEATURE_DTYPES)}


class DatasetError(ValueError):
    """Why a dataset is not used; the words follow its name."""


def reason(error: BaseException) -> str:
    """What is wrong with a dataset, of one of READ_ERRORS."""
    return str(error) if isinstance(error, DatasetError) else f"cannot be read ({first_line(error)})"


def first_line(error: BaseException) -> str:
    """The first line of a library's error."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose content lies in the file itself.

    Raises:
        DatasetError: there is none of this name, or it lies elsewhere. Also another of READ_ERRORS.
    """
    node: Any = file
    for part in name.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise DatasetError(f"lies behind {_LINKS.get(type(link), 'a link')}" if link else "is missing")
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise DatasetError(f"is a {type(node).__name__.lower()}, expected a dataset")
    stored = node.id.get_create_plist()
    if stored.get_layout() == h5py.h5d.VIRTUAL or stored.get_external_count():
        raise DatasetError("lies in other files")
    return node


def dataset_errors(file: h5py.File, feature_dim: int, file_bytes: int) -> tuple[dict[str, int], list[str]]:
    """Hold every dataset of a store against the format.

    Args:
        file: the open store.
        feature_dim: D.
        file_bytes: its length.

    Returns:
        The sizes by the letters of `DATASETS`, without L where there are no links; and a line an error.
    """
    sizes, errors = {"D": feature_dim}, []
    for name, (letters, kind) in DATASETS.items():
        try:
            if name != GOLD_LINKS or file.get("gold", getlink=True) is not None:
                dataset = own_dataset(file, name)
                _check_form(dataset, letters, kind, sizes)
                _check_storage(dataset, file_bytes)
        except READ_ERRORS as error:
            errors.append(f"/{name} {reason(error)}")
    return sizes, errors


def _check_form(
    dataset: h5py.Dataset, letters: tuple[str | int, ...], kind: str, sizes: dict[str, int]
) -> None:
    """Compare type and shape; a letter that is new takes its size from here."""
    expected = [_size(letter, sizes) for letter in letters]
    shape, dtype = dataset.shape or (), dataset.dtype
    fits = (
        is_text(dataset) if kind == "str" else str(dtype) in (FEATURE_DTYPES if kind == "float" else (kind,))
    )
    fits &= len(shape) == len(expected)
    if not fits or any(size not in (None, found) for size, found in zip(expected, shape, strict=True)):
        shown = ", ".join(str(letters[axis] if size is None else size) for axis, size in enumerate(expected))
        raise DatasetError(f"is {dtype} {dataset.shape}, expected {_KINDS.get(kind, kind)} ({shown})")
    for letter, size in zip(letters, shape, strict=True):
        sizes.setdefault(str(letter), size)


def _size(letter: str | int, sizes: dict[str, int]) -> int | None:
    """The size that a letter stands for, None while it is unknown."""
    if isinstance(letter, int):
        return letter
    base, plus, _ = letter.partition("+")
    return sizes[base] + bool(plus) if base in sizes else None


def _check_storage(dataset: h5py.Dataset, file_bytes: int) -> None:
    """Check that the content is stored plainly and lies within the file."""
    stored = dataset.id.get_create_plist()
    plain = h5py.h5d.CONTIGUOUS, *([h5py.h5d.CHUNKED] if is_text(dataset) else [])
    if stored.get_layout() not in plain or stored.get_nfilters():
        raise DatasetError("is not contiguous, so it cannot be streamed: another program rewrote the file")
    row_bytes = (
        REFERENCE.itemsize if is_text(dataset) else dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    )
    if len(dataset) * row_bytes > file_bytes:
        raise DatasetError(
            f"is cut short: it has {len(dataset) * row_bytes:,} bytes, the file {file_bytes:,}"
        )
    parts = extents(dataset)
    if sum(rows for _, rows in parts) != len(dataset):
        raise DatasetError("lacks a part of its content")
    end = max((start + rows * row_bytes for start, rows in parts), default=0)
    if end > file_bytes:
        raise DatasetError(f"is cut short: it ends at byte {end:,}, the file at {file_bytes:,}")
