"""Region boxes: x1 y1 x2 y2 in pixels of the picture, NaN when unknown."""

from __future__ import annotations

import numpy as np

from scan_lightning.data.format import BOX_SLACK
from scan_lightning.errors import ScanError

SHARE_SLACK = 1e-3  # rounding of boxes that are divided by the picture's size


def stored_boxes(boxes: np.ndarray | None, regions: int, width: int, height: int, image: str) -> np.ndarray:
    """One image's boxes as the store keeps them, (k, 4) float32.

    Args:
        boxes: (k, 4) numbers, a row of NaN for a region without a box; None when none is known.
        regions: k.
        width: of the picture, 0 when unknown.
        height: of the picture, 0 when unknown.
        image: how messages name the image.

    Raises:
        ScanError: wrong shape, values that are no numbers, corners swapped, or outside the picture.
    """
    if boxes is None:
        return np.full((regions, 4), np.nan, dtype=np.float32)
    if boxes.shape != (regions, 4):
        raise ScanError(
            f"{image}: boxes have shape {boxes.shape}; expected {(regions, 4)}, one x1 y1 x2 y2 a region."
        )
    stored = boxes.astype(np.float32)
    errors = box_errors(stored, np.array([[width, height]] * regions))
    if errors:
        row, error = errors[0]
        raise ScanError(
            f"{image}: box {row} {error}. Expected x1 y1 x2 y2 in pixels of the picture, or four NaN where "
            "a box is unknown."
        )
    return stored


def are_shares(boxes: np.ndarray) -> bool:
    """Whether no box (k, 4) leaves the unit square: shares of width and height, not pixels."""
    known = boxes[np.isfinite(boxes).all(axis=1)]
    return not len(known) or bool(known.min() >= -SHARE_SLACK and known.max() <= 1 + SHARE_SLACK)


def box_errors(boxes: np.ndarray, sizes: np.ndarray) -> list[tuple[int, str]]:
    """Row and error of every wrong box, in order.

    Args:
        boxes: (R, 4) float32; a row of four NaN is an unknown box, and no error.
        sizes: (R, 2) width and height of each box's picture, 0 when unknown.
    """
    missing = np.isnan(boxes).sum(axis=1)
    finite = np.isfinite(boxes).all(axis=1)
    with np.errstate(invalid="ignore"):
        swapped = finite & ((boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1]))
        limits = np.tile(sizes, 2)
        beyond = ((boxes > limits + BOX_SLACK) & (limits > 0)).any(axis=1)
        outside = finite & ((boxes < -BOX_SLACK).any(axis=1) | beyond)
    broken = ~finite & (missing < 4)
    errors = []
    for row in np.flatnonzero(broken | swapped | outside).tolist():
        width, height = sizes[row].tolist()
        where = f"the {width} x {height} picture" if width and height else "the picture"
        why = "is not four numbers" if broken[row] else "has its corners swapped"
        why = f"lies outside {where}" if outside[row] and not swapped[row] else why
        errors.append((row, f"{boxes[row].tolist()} {why}"))
    return errors
