"""Strings of an HDF5 file, read from its global heaps.

HDF5 itself hangs on some damaged heaps, and takes whatever memory a length says. A dataset of strings holds
references: length, address of a heap, index in it. A heap is `GCOL`, its size, and objects: index, size,
content, each with 16 bytes of head and padded to 8; index 0 ends it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import h5py
import numpy as np

from scan_lightning.data.format import TEXT_BYTES

REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
_BLOCK = 1 << 16
_HEAP, _OBJECT = struct.Struct("<4sB3xQ"), struct.Struct("<H6xQ")


def is_text(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds strings of any length."""
    info = h5py.check_string_dtype(dataset.dtype)
    return info is not None and info.length is None


def extents(dataset: h5py.Dataset) -> list[tuple[int, int]]:
    """First byte and number of rows of each stretch of a dataset in the file, in the order of the rows."""
    if dataset.chunks is None:
        return [(dataset.id.get_offset(), len(dataset))] if dataset.id.get_storage_size() else []
    chunks: list[tuple[int, int]] = []
    dataset.id.chunk_iter(lambda info: chunks.append((info.chunk_offset[0], info.byte_offset)))
    return [(start, min(dataset.chunks[0], len(dataset) - row)) for row, start in sorted(chunks)]


def read_strings(dataset: h5py.Dataset, rows: slice | np.ndarray = slice(None)) -> list[bytes]:
    """Strings of a dataset whose storage has been checked; `rows` ascend.

    Raises:
        ValueError: a heap is damaged, a string is longer than `TEXT_BYTES`, or together they are longer than
            the file.
    """
    file = dataset.file.id
    handle, base = file.get_vfd_handle(), file.get_create_plist().get_userblock()
    limit = os.fstat(handle).st_size
    wanted, first = np.arange(len(dataset))[rows], 0
    references = np.empty(len(wanted), REFERENCE)
    for start, count in extents(dataset):
        here = slice(*np.searchsorted(wanted, [first, first + count]))
        if here.start < here.stop:
            part = np.frombuffer(_read(handle, start, count * REFERENCE.itemsize), REFERENCE)
            references[here] = part[wanted[here] - first]
        first += count
    longest = int(references["length"].max(initial=0))
    if longest > TEXT_BYTES:
        raise ValueError(f"a string of {longest:,} bytes, at most {TEXT_BYTES:,} are read")
    if int(references["length"].sum(dtype=np.int64)) > limit:
        raise ValueError("more text than the file is long")
    texts = [b""] * len(references)
    order = np.argsort(references["heap"], kind="stable")
    heap, content, objects, left = 0, b"", {}, 2 * limit  # bytes of heaps to read: crafted ones may overlap
    for row, length, address, index in _items(order, references):
        if address != heap:
            heap, content = address, _heap(handle, base + address, left)
            left -= len(content)
            objects = dict(_objects(content))
        start, size = objects.get(index, (0, -1))
        if size != length:
            raise ValueError(f"the string of row {row:,} is not where its reference says")
        texts[row] = content[start : start + size]
    return texts


def _items(order: np.ndarray, references: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Row, length, heap and index of what is not empty; a block of them is in memory as Python objects."""
    for start in range(0, len(order), _BLOCK):
        rows = order[start : start + _BLOCK]
        rows = rows[references["length"][rows] > 0]
        for row, reference in zip(rows.tolist(), references[rows].tolist(), strict=True):
            yield row, *reference


def _heap(handle: int, address: int, limit: int) -> bytes:
    magic, version, size = _HEAP.unpack(_read(handle, address, _HEAP.size))
    if magic != b"GCOL" or version != 1 or size > limit:
        raise ValueError(f"no heap of strings at byte {address:,}")
    return _read(handle, address, size)


def _objects(heap: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Index, and first byte and size, of each object."""
    position = _HEAP.size
    while position + _OBJECT.size <= len(heap):
        index, size = _OBJECT.unpack_from(heap, position)
        position += _OBJECT.size
        if not index or position + size > len(heap):
            return
        yield index, (position, size)
        position += size + -size % 8


def _read(handle: int, start: int, count: int) -> bytes:
    """Bytes of the file, all of them."""
    raw = os.pread(handle, count, start) if start < 1 << 62 else b""
    if len(raw) != count:
        raise ValueError(f"the file ends before byte {start + count:,}")
    return raw
