"""The values in a split's arrays: one pass over them, a block of rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scan_lightning.data.boxes import box_errors
from scan_lightning.data.layouts.scan_files import RELEASED_CAPTIONS, SplitFiles
from scan_lightning.data.layouts.scan_release import rows_differ
from scan_lightning.data.layouts.source_files import FileError, some_numbers
from scan_lightning.progress import Advance

BLOCK_BYTES = 32 << 20


def value_bytes(split: SplitFiles) -> int:
    """How many bytes `value_errors` will read."""
    return sum(array.nbytes for array in (split.features, split.boxes) if array is not None)


def value_errors(split: SplitFiles, advance: Advance) -> tuple[list[FileError], list[str]]:
    """Read a split's features and boxes, those that could be opened.

    Returns:
        Errors, at most one a kind and file, with the rows (counted from 0, as NumPy does); and notes.
    """
    errors: list[FileError] = []
    notes: list[str] = []
    if split.features is not None:
        _read_features(split, split.features, advance, errors, notes)
    if split.boxes is not None:
        _read_boxes(split, split.boxes, advance, errors)
    return errors, notes


def _read_features(
    split: SplitFiles, features: np.ndarray, advance: Advance, errors: list[FileError], notes: list[str]
) -> None:
    bad: list[int] = []
    zero: list[int] = []
    differing: int | None = None
    for start, block in _blocks(features):
        flat = block.reshape(len(block), -1)
        low, high = flat.min(axis=1), flat.max(axis=1)  # NaN wins in both
        bad += (start + np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))).tolist()
        zero += (start + np.flatnonzero((low == 0) & (high == 0))).tolist()
        if split.stride > 1 and differing is None:
            differing = _differing(start, block, split.stride)
        advance(block.nbytes)
    if bad:
        row = features[bad[0]]
        region, column = np.unravel_index(int(np.isfinite(row).argmin()), row.shape)
        detail = (
            f"{_rows(bad)} {'hold' if len(bad) > 1 else 'holds'} NaN or infinity: feature {column} of region "
            f"{region} of row {bad[0]}{_image(split, bad[0])} is {row[region, column]}. Expected finite "
            "numbers; extract these images again."
        )
        errors.append(split.error("ims.npy", "not finite", detail))
    if differing is not None:
        errors.append(rows_differ(split, differing - differing % split.stride, differing))
    if zero:
        notes.append(
            f"{split.file('ims.npy').name}: {_rows(zero)} of {len(features):,} "
            f"{'are' if len(zero) > 1 else 'is'} zero from end to end, as where a download broke off."
        )


def _read_boxes(split: SplitFiles, boxes: np.ndarray, advance: Advance, errors: list[FileError]) -> None:
    count, first = 0, ""
    for start, block in _blocks(boxes):
        flat = block.reshape(-1, 4).astype(np.float32)
        found = box_errors(flat, np.zeros((len(flat), 2), np.int32))  # the pictures' sizes are unknown
        if found and not count:
            index, why = found[0]
            row, box = start + index // boxes.shape[1], index % boxes.shape[1]
            first = f"box {box} of row {row}{_image(split, row)} {why}"
        count += len(found)
        advance(block.nbytes)
    if count:
        detail = (
            f"{count:,} wrong boxes, the first: {first}. Expected x1 y1 x2 y2 in pixels of the picture, or "
            "four NaN where a box is unknown."
        )
        errors.append(split.error("boxes.npy", "inconsistent", detail))


def _blocks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """First row and content of each block; a redundant image's five rows are never apart."""
    rows = max(1, BLOCK_BYTES // max(array[0].nbytes * RELEASED_CAPTIONS, 1)) * RELEASED_CAPTIONS
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def _differing(start: int, block: np.ndarray, stride: int) -> int | None:
    """The first row that is not equal to the first of its image."""
    images = block.reshape(-1, stride, *block.shape[1:])
    unequal = (images != images[:, :1]) & ~np.isnan(images[:, :1])
    rows = unequal.reshape(len(block), -1).any(axis=1)
    return start + int(rows.argmax()) if rows.any() else None


def _rows(rows: Sequence[int]) -> str:
    return f"row {rows[0]}" if len(rows) == 1 else f"{len(rows):,} rows ({some_numbers(rows)})"


def _image(split: SplitFiles, row: int) -> str:
    """A row's image, where it has a name of its own."""
    index = row // split.stride
    return f" ({split.ids[index]})" if split.file("ids.txt").exists() and index < len(split.ids) else ""
