"""Check everything a store claims: one pass over the file, all problems reported, none stops the search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from scan_lightning.data.check_content import check_content
from scan_lightning.data.checksums import DIGEST_BYTES, ROWS_ATTRIBUTE, digest
from scan_lightning.data.datasets import READ_ERRORS, own_dataset, reason
from scan_lightning.data.format import DATASETS, GOLD_LINKS
from scan_lightning.data.header import Header, read_header
from scan_lightning.data.seal import check_seal
from scan_lightning.data.strings import is_text, read_strings
from scan_lightning.progress import Advance
from scan_lightning.progress import progress as show_progress

FEATURES = "region/features"
Content = Mapping[str, np.ndarray | None]  # of the other datasets, None where one cannot be read


def check_store(path: str | Path, *, progress: bool = True) -> list[str]:
    """Verify counts, offsets, values, ids, boxes, lexicon, checksums and the whole-file digest.

    Args:
        path: the store.
        progress: show progress on stderr.

    Returns:
        One line a problem; empty when there is none.

    Raises:
        ScanError: it cannot be opened as a store at all, so nothing was read.
    """
    path = Path(path)
    header = read_header(path)
    names = [name for name in DATASETS if name != FEATURES and (header.links or name != GOLD_LINKS)]
    problems: list[str] = []
    with show_progress(f"checking {path.name}", path.stat().st_size, "bytes", shown=progress) as advance:
        broken_seal = check_seal(path)
        if broken_seal:
            problems.append(broken_seal)
        with h5py.File(path, "r") as file:
            content = {name: _check_dataset(file, name, problems) for name in names}
            advance(header.identity.size - header.feature_bytes)
            _check_features(path, file, header, content, advance, problems)
            problems += check_content(content)
    return problems


def _check_dataset(file: h5py.File, name: str, problems: list[str]) -> np.ndarray | None:
    """Read a small dataset and compare it with its checksums; strings come as UTF-8 bytes."""
    try:
        dataset = file[name]
        rows = np.array(read_strings(dataset), object) if is_text(dataset) else np.asarray(dataset[:])
    except READ_ERRORS as error:
        problems.append(f"/{name}: {reason(error)}")
        return None
    expected, size = _checksums(file, name, len(rows), problems)
    for block in range(len(expected)):
        part = rows[block * size : (block + 1) * size]
        if not np.array_equal(digest(part), expected[block]):
            problems.append(_differs(name, block, block * size, len(part)))
    return rows


def _check_features(
    path: Path, file: h5py.File, header: Header, content: Content, advance: Advance, problems: list[str]
) -> None:
    """Compare every block of the features with its checksum and look for values that are not finite."""
    expected, size = _checksums(file, FEATURES, header.regions, problems)
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
                images = _images(content, start, start + count - 1)
                problems.append(_differs(FEATURES, index, start, count) + images)
            bad_rows.append(start + np.flatnonzero(~np.isfinite(part).all(axis=1)))
            advance(part.nbytes)
    rows = np.concatenate(bad_rows)
    if len(rows):
        problems.append(
            f"/{FEATURES}: {len(rows):,} regions hold NaN or infinity, the first in row {rows[0]}"
            f"{_images(content, int(rows[0]), int(rows[-1]))}"
        )


def _checksums(file: h5py.File, name: str, rows: int, problems: list[str]) -> tuple[np.ndarray, int]:
    """A dataset's digests and rows a block; a problem and no digests when they cannot be used."""
    try:
        dataset = own_dataset(file, f"checksum/{name}")
        size = int(dataset.attrs[ROWS_ATTRIBUTE])
        if size >= 1 and dataset.shape == (-(-rows // size), DIGEST_BYTES) and dataset.dtype == np.uint8:
            return np.asarray(dataset[:]), size
        problems.append(
            f"/checksum/{name}: is {dataset.dtype} {dataset.shape} for {rows:,} rows of {size:,} a block"
        )
    except READ_ERRORS as error:
        problems.append(f"/checksum/{name}: {reason(error)}, so /{name} cannot be verified")
    return np.zeros((0, DIGEST_BYTES), dtype=np.uint8), 0


def _differs(name: str, block: int, start: int, count: int) -> str:
    return f"/{name}: block {block} (rows {start:,} to {start + count - 1:,}) differs from its checksum"


def _images(content: Content, first_row: int, last_row: int) -> str:
    """The images that own these region rows, when that can still be told."""
    offsets, ids = content.get("region/offsets"), content.get("image/id")
    if offsets is None or ids is None or len(offsets) != len(ids) + 1 or (np.diff(offsets) < 0).any():
        return ""
    owners = np.searchsorted(offsets, [first_row, last_row], side="right") - 1
    first, last = (
        ids[int(owner)].decode("utf-8", "replace") if 0 <= owner < len(ids) else "?" for owner in owners
    )
    return f", image {first!r}" if first == last else f", images {first!r} to {last!r}"
