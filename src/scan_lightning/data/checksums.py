"""One SHA-256 a block of each dataset's decoded content, so that damage is named by dataset and block.

Digests are taken over what was meant to be written, before HDF5 and the disk see it. The content of a block
is its little-endian bytes; of strings, each string's length (4 bytes, little-endian) and its UTF-8 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

BLOCK_BYTES = 4 << 20  # of a numeric dataset; small enough to say where, large enough to cost nothing
TEXT_BLOCK_ROWS = 4096
DIGEST_BYTES = 32
ROWS_ATTRIBUTE = "rows_per_block"


def encode(rows: np.ndarray) -> bytes:
    """The bytes a digest is taken over, of rows of numbers or (n,) strings (str or UTF-8 bytes)."""
    if rows.dtype.kind in "OSUT":
        parts = []
        for text in rows.tolist():
            raw = text if isinstance(text, bytes) else text.encode("utf-8")
            parts += [len(raw).to_bytes(4, "little"), raw]
        return b"".join(parts)
    little = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<"))
    return little.tobytes()


def rows_per_block(row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """How many rows make a block of about BLOCK_BYTES (strings: a fixed number of rows)."""
    if dtype.kind in "OSUT":
        return TEXT_BLOCK_ROWS
    row_bytes = int(np.prod(row_shape, dtype=np.int64)) * dtype.itemsize
    return max(1, BLOCK_BYTES // max(row_bytes, 1))


def digest(rows: np.ndarray) -> np.ndarray:
    """SHA-256 of one block, (32,) uint8."""
    return np.frombuffer(hashlib.sha256(encode(rows)).digest(), dtype=np.uint8)


def digests(rows: np.ndarray) -> list[np.ndarray]:
    """SHA-256 of every block of a dataset."""
    size = rows_per_block(rows.shape[1:], rows.dtype)
    return [digest(rows[start : start + size]) for start in range(0, len(rows), size)]


def store_digests(file: h5py.File, path: str, blocks: Sequence[np.ndarray], rows: int) -> None:
    """Write the digests of the dataset `path` below /checksum; a block has `rows` rows, or fewer."""
    data = np.array(blocks, dtype=np.uint8).reshape(-1, DIGEST_BYTES)
    dataset = file.create_dataset(f"checksum/{path}", data=data)
    dataset.attrs[ROWS_ATTRIBUTE] = rows
    dataset.attrs["algorithm"] = "sha256"
