"""One image's arrays, whatever an extractor calls and shapes them, as `Features`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.source_files import some
from scan_lightning.data.layouts.sources import Features
from scan_lightning.errors import ScanError

FEATURES = ("features", "image_features", "img_features", "feats", "feat", "x", "arr_0")
BOXES = ("boxes", "image_bb", "bboxes", "bbox")
COUNT = ("num_boxes", "num_bbox")
WIDTH = ("image_w", "img_w", "width", "widths")
HEIGHT = ("image_h", "img_h", "height", "heights")
READ = (*FEATURES, *BOXES, *COUNT, *WIDTH, *HEIGHT)


def first_of(names: Collection[str], among: tuple[str, ...]) -> str | None:
    """The first name of a table that is there."""
    return next((name for name in among if name in names), None)


def feature_name(where: str, names: Collection[str]) -> str:
    """What the features are called among the arrays of an image; a ScanError when none is one."""
    name = first_of(names, FEATURES)
    if name is None:
        there = some(sorted(names)) or "nothing"
        raise ScanError(f"{where}: holds {there}; expected one of {', '.join(FEATURES)}.")
    return name


def table_shape(
    where: str, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> tuple[int, int]:
    """(k, D) of an image's features: as they are, behind dimensions of 1, or a grid (h, w, D) row by row."""
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    grid = len(shape) == 3 and shape[0] < shape[2]
    if not (len(shape) == 2 or grid) or 0 in shape or dtype.kind != "f":
        raise ScanError(
            f"{where}: {name} is {dtype} {shape}; expected floats (regions, width) or a grid "
            "(h, w, width), none of them 0."
        )
    return (shape[0] * shape[1], shape[2]) if grid else (shape[0], shape[1])


def image_shape(
    where: str,
    names: Collection[str],
    header: Callable[[str], tuple[tuple[int, ...], np.dtype[np.generic]]],
    read: Callable[[str], np.ndarray],
) -> tuple[int, int]:
    """(k, D) of an image without reading its features; `header` gives an array's shape and type."""
    name, count = feature_name(where, names), first_of(names, COUNT)
    rows, width = table_shape(where, name, *header(name))
    return (rows if count is None else region_count(where, read(count), rows)), width


def image_features(where: str, names: Collection[str], read: Callable[[str], np.ndarray]) -> Features:
    """Features of an image of which each array is named and read.

    Args:
        where: how messages name the image.
        names: of its arrays.
        read: gives one of them.
    """
    name = feature_name(where, names)
    table = read(name)
    table = table.reshape(table_shape(where, name, table.shape, table.dtype))
    boxes_name, count_name = first_of(names, BOXES), first_of(names, COUNT)
    boxes = None if boxes_name is None else read(boxes_name)
    if boxes is not None and boxes.ndim > 2 and len(boxes) == 1:
        boxes = boxes[0]
    count = len(table) if count_name is None else region_count(where, read(count_name), len(table))
    if boxes is not None and len(boxes) == len(table):
        boxes = boxes[:count]
    sizes = [first_of(names, among) for among in (WIDTH, HEIGHT)]
    return Features(table[:count], boxes, *(0 if key is None else pixels(where, read(key)) for key in sizes))


def region_count(where: str, value: np.ndarray, rows: int) -> int:
    """How many of the rows are regions and no padding."""
    if value.size != 1 or value.dtype.kind not in "iuf" or not 1 <= value.item() <= rows:
        raise ScanError(
            f"{where}: num_boxes is {value.tolist()!r:.40}; expected 1 to {rows:,}, the rows there are."
        )
    return int(value.item())


def pixels(where: str, value: np.ndarray) -> int:
    """A picture's width or height."""
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise ScanError(
            f"{where}: the picture's width or height is {value.dtype} {value.tolist()!r:.40}; expected one "
            "number of pixels. Correct it, or leave both out."
        )
    return int(value.item())


def unread_note(names: Collection[str], read: Collection[str] = READ) -> tuple[str, ...]:
    """What to tell about arrays that no store holds."""
    unread = sorted(set(names) - set(read))
    return (f"not read: {some(unread)}.",) if unread else ()


def same_width(path: Path | str, width: int, before: int) -> None:
    """Raise a ScanError unless features are as wide as those before, if there are any."""
    if before not in (0, width):
        raise ScanError(
            f"{path}: features are {width} wide, those before {before}. All images need one width."
        )
