"""Check everything a store claims: one pass over the file, all problems reported, none stops the search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from scan_lightning.data.check_content import check_content
from scan_lightning.data.checksums import DIGEST_BYTES, ROWS_ATTRIBUTE, digest
from scan_lightning.data.format import DATASETS, GOLD_LINKS
from scan_lightning.data.header import READ_ERRORS, Header, first_line, has, read_header
from scan_lightning.data.probe import probe
from scan_lightning.data.seal import check_seal
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
    problems: list[str] = []
    with show_progress(f"checking {path.name}", path.stat().st_size, "bytes", shown=progress) as advance:
        broken_seal = check_seal(path)
        harmful: dict[str, str] = {}
        if broken_seal:
            problems.append(broken_seal)
            harmful = probe(path, [name for name in (*DATASETS, GOLD_LINKS) if name != FEATURES])
            problems += [f"/{name}: is damaged so that HDF5 {harm}" for name, harm in harmful.items()]
        with h5py.File(path, "r") as file:
            content: dict[str, np.ndarray | None] = dict.fromkeys(harmful)
            for name in (*DATASETS, *([GOLD_LINKS] if has(file, GOLD_LINKS) else [])):
                if name != FEATURES and name not in harmful:
                    content[name] = _check_dataset(file, name, problems)
            advance(header.identity.size - header.feature_bytes)
            _check_features(path, file, header, content, advance, problems)
            problems += _check_shapes(content, header) or check_content(content)
    return problems


def _check_dataset(file: h5py.File, name: str, problems: list[str]) -> np.ndarray | None:
    """Read a small dataset and compare it with its checksums; strings come as UTF-8 bytes."""
    try:
        rows: np.ndarray = file[name][:]
    except READ_ERRORS as error:
        problems.append(f"/{name}: cannot be read ({first_line(error)})")
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


def _check_shapes(content: Content, header: Header) -> list[str]:
    """Each dataset's shape and type, as far as it could be read, against the others."""
    sizes = {"N": header.images, "R": header.regions, "C": header.captions}
    for letter, name in (("T", "caption/tokens"), ("V", "lexicon/word")):
        rows = content[name]
        if rows is not None:
            sizes[letter] = len(rows)
    sizes |= {"N+1": sizes["N"] + 1, "C+1": sizes["C"] + 1}
    problems = []
    for name, (letters, kind) in DATASETS.items():
        rows = content.get(name)
        if rows is None:  # the features, which the header has checked, or what could not be read
            continue
        shape = tuple(sizes.get(letter) if isinstance(letter, str) else letter for letter in letters)
        if rows.shape != shape and None not in shape:
            problems.append(f"/{name}: has shape {rows.shape}, expected {shape}")
        if not (rows.dtype.kind == "O" if kind == "str" else rows.dtype == np.dtype(kind)):
            problems.append(f"/{name}: is {rows.dtype}, expected {kind}")
    links = content.get(GOLD_LINKS)
    if links is not None and links.shape[1:] != (3,):
        problems.append(f"/{GOLD_LINKS}: has shape {links.shape}, expected (links, 3)")
    return problems


def _checksums(file: h5py.File, name: str, rows: int, problems: list[str]) -> tuple[np.ndarray, int]:
    """A dataset's digests and rows a block; a problem and no digests when they cannot be used."""
    try:
        if f"checksum/{name}" not in file:
            problems.append(f"/checksum/{name}: is missing, so /{name} cannot be verified")
            return np.zeros((0, DIGEST_BYTES), dtype=np.uint8), 0
        dataset = file[f"checksum/{name}"]
        expected, size = np.asarray(dataset[:]), int(dataset.attrs[ROWS_ATTRIBUTE])
        if size >= 1 and expected.shape == (-(-rows // size), DIGEST_BYTES):
            return expected, size
        problems.append(f"/checksum/{name}: has shape {expected.shape} for {rows:,} rows of {size:,} a block")
    except READ_ERRORS as error:
        problems.append(f"/checksum/{name}: cannot be read ({first_line(error)})")
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
