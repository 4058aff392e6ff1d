"""Check content against the block checksums, so that damage is named by dataset and block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from scan_lightning.data.checksums import DIGEST_BYTES, ROWS_ATTRIBUTE, digest
from scan_lightning.data.header import READ_ERRORS, Header, first_line
from scan_lightning.progress import Advance


def check_small(file: h5py.File, name: str, faults: list[str]) -> np.ndarray | None:
    """Read one of the small datasets whole and compare it with its checksums.

    Args:
        file: The store.
        name: As in `caption/text`.
        faults: Faults are appended here.

    Returns:
        The content (strings as objects holding UTF-8 bytes), None when it cannot be read.
    """
    try:
        rows: np.ndarray = file[name][:]
    except READ_ERRORS as error:
        faults.append(f"/{name}: cannot be read ({first_line(error)})")
        return None
    expected, size = _checksums(file, name, len(rows), faults)
    for block in range(len(expected)):
        part = rows[block * size : (block + 1) * size]
        if not np.array_equal(digest(part), expected[block]):
            faults.append(_block_fault(name, block, block * size, len(part)))
    return rows


def check_features(
    path: Path,
    file: h5py.File,
    header: Header,
    small: Mapping[str, np.ndarray | None],
    advance: Advance,
) -> list[str]:
    """Compare every block of the features with its checksum and look for values that are not finite.

    Args:
        path: The store.
        file: The same, open.
        header: Its header.
        small: What `check_small` read, to name images.
        advance: Progress in bytes.
    """
    faults: list[str] = []
    name = "region/features"
    expected, size = _checksums(file, name, header.regions, faults)
    size = size or 1024
    bad_rows: list[np.ndarray] = []
    row_bytes = header.feature_dim * header.feature_dtype.itemsize
    with path.open("rb") as raw:
        for start in range(0, header.regions, size):
            count = min(size, header.regions - start)
            raw.seek(header.feature_offset + start * row_bytes)
            # Read, not mapped: the pages of a large file would all count as this process's memory.
            block = np.frombuffer(raw.read(count * row_bytes), dtype=header.feature_dtype)
            part = block.reshape(count, header.feature_dim)
            index = start // size
            if index < len(expected) and not np.array_equal(digest(part), expected[index]):
                faults.append(
                    _block_fault(name, index, start, count) + _images(small, start, start + count - 1)
                )
            bad = ~np.isfinite(part).all(axis=1)
            if bad.any():
                bad_rows.append(start + np.flatnonzero(bad))
            advance(part.nbytes)
    if bad_rows:
        rows = np.concatenate(bad_rows)
        where = _images(small, int(rows[0]), int(rows[-1]))
        faults.append(
            f"/{name}: {len(rows):,} regions hold NaN or infinity, the first in row {rows[0]}{where}"
        )
    return faults


def _checksums(file: h5py.File, name: str, rows: int, faults: list[str]) -> tuple[np.ndarray, int]:
    """A dataset's digests and rows a block; a fault and no digests when they cannot be used."""
    try:
        if f"checksum/{name}" not in file:
            faults.append(f"/checksum/{name}: is missing, so /{name} cannot be verified")
            return np.zeros((0, DIGEST_BYTES), dtype=np.uint8), 0
        dataset = file[f"checksum/{name}"]
        expected, size = np.asarray(dataset[:]), int(dataset.attrs[ROWS_ATTRIBUTE])
        if size >= 1 and expected.shape == (-(-rows // size), DIGEST_BYTES):
            return expected, size
        faults.append(f"/checksum/{name}: has shape {expected.shape} for {rows:,} rows of {size:,} a block")
    except READ_ERRORS as error:
        faults.append(f"/checksum/{name}: cannot be read ({first_line(error)})")
    return np.zeros((0, DIGEST_BYTES), dtype=np.uint8), 0


def _block_fault(name: str, block: int, start: int, count: int) -> str:
    return f"/{name}: block {block} (rows {start:,} to {start + count - 1:,}) differs from its checksum"


def _images(small: Mapping[str, np.ndarray | None], first_row: int, last_row: int) -> str:
    """The images that own these region rows, when that can still be told."""
    offsets, ids = small.get("region/offsets"), small.get("image/id")
    if offsets is None or ids is None or len(offsets) != len(ids) + 1 or (np.diff(offsets) < 0).any():
        return ""
    owners = np.searchsorted(offsets, [first_row, last_row], side="right") - 1
    first, last = (
        ids[int(owner)].decode("utf-8", "replace") if 0 <= owner < len(ids) else "?" for owner in owners
    )
    return f", image {first!r}" if first == last else f", images {first!r} to {last!r}"
