"""Pictures of a store's images: found, checked, embedded in a page, and where the regions lie in them."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError

Array: TypeAlias = NDArray[Any]

SUFFIXES = ("", ".jpg", ".jpeg", ".png", ".JPG", ".webp")
JPEG_QUALITY = 82


def find_picture(images_dir: Path, image_id: str) -> Path | None:
    """Return the file named as an image's id, with or without a suffix; None when there is none."""
    for path in (images_dir / f"{image_id}{suffix}" for suffix in SUFFIXES):
        # An id may hold "..": a file outside the folder is never read.
        if path.is_file() and path.resolve().is_relative_to(images_dir.resolve()):
            return path
    return None


def open_picture(store: Store, image: int, images_dir: Path | None) -> Image.Image | None:
    """Return the picture of an image of the store, in any resolution; None without a folder or a file in it.

    Raises:
        ScanError: the file is no picture, or its proportions are not those of the store.
    """
    path = None if images_dir is None else find_picture(images_dir, store.image_id(image))
    if path is None:
        return None
    try:
        picture = Image.open(path).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise ScanError(f"{path}: cannot be read as a picture ({error}). Replace the file.") from error
    width, height = store.image_size(image)
    if width and height and not 0.97 < picture.width * height / (picture.height * width) < 1.03:
        raise ScanError(
            f"{path}: is {picture.width} x {picture.height} pixels, but the store's boxes are for "
            f"{width} x {height}. Give the picture that the regions were found in."
        )
    return picture


def place_regions(
    store: Store, image: int, picture: Image.Image | None = None
) -> tuple[Array, tuple[int, int]]:
    """Return the boxes (k, 4) of an image's regions and the (width, height) they lie in.

    Regions without boxes are laid out as a grid; an unknown size is the picture's, or what the boxes span.
    """
    boxes, size = store.boxes(image).astype(float), store.image_size(image)
    if np.isfinite(boxes).all():
        if not all(size):
            width, height = boxes[:, 2:].max(axis=0).tolist()
            size = picture.size if picture else (math.ceil(width), math.ceil(height))
        return boxes, size
    columns = math.ceil(math.sqrt(len(boxes)))
    row, column = np.divmod(np.arange(len(boxes)), columns)
    corner = np.stack([column, row], axis=1) * 100.0
    return np.hstack([corner + 6, corner + 94]), (columns * 100, -(-len(boxes) // columns) * 100)


def data_uri(picture: Image.Image, longest: int) -> str:
    """Return a picture as a JPEG data URI, shrunk to at most `longest` pixels a side."""
    picture = picture.convert("RGB")
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
