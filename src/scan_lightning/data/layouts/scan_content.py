"""What the values in a split's arrays are: one pass over them, a block of rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scan_lightning.data.boxes import box_faults
from scan_lightning.data.layouts.fault import FileError
from scan_lightning.data.layouts.lines import some_numbers
from scan_lightning.data.layouts.scan_files import RELEASED_CAPTIONS, SplitFiles
from scan_lightning.data.layouts.scan_release import rows_differ
from scan_lightning.progress import Advance

BLOCK_BYTES = 32 << 20


def content_bytes(split: SplitFiles) -> int:
    """How many bytes `content_faults` will read."""
    return sum(array.nbytes for array in (split.features, split.boxes) if array is not None)


def content_faults(split: SplitFiles, advance: Advance) -> tuple[list[FileError], list[str]]:
    """Read a split's features and boxes, those that could be opened.

    Args:
        split: Its files.
        advance: Progress in bytes.

    Returns:
        Faults, at most one a kind and file, with the rows (counted from 0, as NumPy does); and notes.
    """
    faults: list[FileError] = []
    notes: list[str] = []
    if split.features is not None:
        _read_features(split, split.features, advance, faults, notes)
    if split.boxes is not None:
        _read_boxes(split, split.boxes, advance, faults)
    return faults, notes


def _read_features(
    split: SplitFiles, features: np.ndarray, advance: Advance, faults: list[FileError], notes: list[str]
) -> None:
    path = split.file("ims.npy")
    bad: list[int] = []
    empty: list[int] = []
    differing: int | None = None
    for start, block in _blocks(features):
        flat = block.reshape(len(block), -1)
        low, high = flat.min(axis=1), flat.max(axis=1)  # NaN wins in both
        finite = np.isfinite(low) & np.isfinite(high)
        bad += (start + np.flatnonzero(~finite)).tolist()
        empty += (start + np.flatnonzero((low == 0) & (high == 0))).tolist()
        if split.stride > 1 and differing is None:
            differing = _differing(start, block, split.stride)
        advance(block.nbytes)
    if bad:
        row = features[bad[0]]
        region, column = np.unravel_index(int(np.isfinite(row).argmin()), row.shape)
        faults.append(
            FileError(
                path,
                "not finite",
                f"{_rows(bad)} {'hold' if len(bad) > 1 else 'holds'} NaN or infinity: feature {column} of "
                f"region {region} of row {bad[0]}{_image(split, bad[0])} is {row[region, column]}. Expected "
                "finite numbers; extract these images again.",
            )
        )
    if differing is not None:
        faults.append(rows_differ(split, differing - differing % split.stride, differing))
    if empty:
        notes.append(
            f"{path.name}: {_rows(empty)} of {len(features):,} {'are' if len(empty) > 1 else 'is'} zero from "
            "end to end, as where a download broke off."
        )


def _read_boxes(split: SplitFiles, boxes: np.ndarray, advance: Advance, faults: list[FileError]) -> None:
    count, first = 0, ""
    for start, block in _blocks(boxes):
        flat = block.reshape(-1, 4).astype(np.float32)
        found = box_faults(flat, np.zeros((len(flat), 2), np.int32))  # the pictures' sizes are unknown
        if found and not count:
            index, why = found[0]
            row, box = start + index // boxes.shape[1], index % boxes.shape[1]
            first = f"box {box} of row {row}{_image(split, row)} {why}"
        count += len(found)
        advance(block.nbytes)
    if count:
        faults.append(
            FileError(
                split.file("boxes.npy"),
                "inconsistent",
                f"{count:,} faulty boxes, the first: {first}. Expected x1 y1 x2 y2 in pixels of the "
                "picture, or four NaN where a box is unknown.",
            )
        )


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


def _rows(rows: list[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]}"
    return f"{len(rows):,} rows ({some_numbers(tuple(rows))})"


def _image(split: SplitFiles, row: int) -> str:
    """A row's image, where it has a name of its own."""
    index = row // split.stride
    return f" ({split.ids[index]})" if split.file("ids.txt").exists() and index < len(split.ids) else ""
