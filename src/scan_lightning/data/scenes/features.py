"""Region features from the pixels: what a box shows, never what it is called.

A region is cut out with a little of its surroundings, brought to a fixed grid and described by
  - colour: hue and grey-level histograms of its centre, of its rim and of what lies between;
  - outline: gradient orientations, cell by cell, of how far each pixel's colour lies from the rim's;
  - texture: gradient orientations of the luminance, coarser;
  - geometry: where in the picture the box lies, how large and how long it is.
All of it is a function of (picture, box), so features recomputed from the saved file are the same bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array: TypeAlias = NDArray[Any]  # float32, unless said

GRID = 24  # a region's pixels after resampling: GRID x GRID
_SURROUNDINGS = 0.12  # of the box's size, added on each side
_HUES, _GREYS, _ORIENTATIONS = 12, 5, 8
_CELLS, _COARSE = 4, 2  # cells along a side: for the outline, for the texture
_PLACES = 4  # soft bins of each geometric quantity
_ZONES = 3  # of the colour histograms: centre, middle, rim
_COLOUR = _ZONES * (_HUES + _GREYS)
_OUTLINE = _CELLS**2 * _ORIENTATIONS
_TEXTURE = _COARSE**2 * _ORIENTATIONS
_GEOMETRY = 4 * _PLACES

_REACH = np.maximum(*np.abs(np.meshgrid(*[np.linspace(-1, 1, GRID)] * 2))).reshape(-1)
_ZONE = (_REACH > 0.5).astype(np.int64) + (_REACH > 0.88)  # (GRID * GRID,)
_ZONE_SIZE = np.bincount(_ZONE)

FEATURE_DIM = _COLOUR + _OUTLINE + _TEXTURE + _GEOMETRY


def region_features(picture: NDArray[np.uint8], boxes: Array) -> Array:
    """Features (regions, FEATURE_DIM) float32 of a picture's regions, each part of about unit length.

    Args:
        picture: (height, width, 3) uint8 RGB.
        boxes: (regions, 4) x1, y1, x2, y2 in pixels.
    """
    pixels = _crops(picture, boxes)
    parts = (_colour(pixels), *_gradients(pixels), _geometry(boxes, picture.shape[1], picture.shape[0]))
    return np.concatenate(parts, axis=1)


def _crops(picture: NDArray[np.uint8], boxes: Array) -> Array:
    """(regions, GRID, GRID, 3) float32 in 0..1."""
    image = Image.fromarray(picture)
    grow = np.concatenate([boxes[:, :2] - boxes[:, 2:], boxes[:, 2:] - boxes[:, :2]], axis=1) * _SURROUNDINGS
    bounds = np.array([image.width, image.height] * 2, dtype=np.float32)
    wide = np.clip(boxes + grow, 0.0, bounds)
    cut = [
        np.asarray(image.resize((GRID, GRID), Image.Resampling.BILINEAR, box=tuple(box)))
        for box in wide.astype(float)
    ]
    return np.stack(cut).astype(np.float32) / np.float32(255.0)


def _colour(pixels: Array) -> Array:
    """(regions, zones * (hues + greys)): histograms of centre, middle and rim, square-rooted."""
    flat = pixels.reshape(len(pixels), -1, 3)
    red, green, blue = flat[..., 0], flat[..., 1], flat[..., 2]
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.maximum(chroma, np.float32(1e-6))
    sector = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    # A pixel votes for its hue as far as it is colourful and for its grey level as far as it is not.
    colourful = np.minimum(chroma * np.float32(2.5), 1)
    hues = _histogram(sector * (_HUES / 6) % _HUES, colourful, _HUES, _ZONE, wrap=True)
    greys = _histogram(value * (_GREYS - 1), 1 - colourful, _GREYS, _ZONE)
    votes = np.concatenate([hues, greys], axis=2) / _ZONE_SIZE[:, None]
    return np.sqrt(votes / _ZONES).reshape(len(pixels), -1).astype(np.float32)


def _gradients(pixels: Array) -> tuple[Array, Array]:
    """(regions, outline) and (regions, texture) orientation histograms."""
    rim = pixels.reshape(len(pixels), -1, 3)[:, _ZONE == _ZONES - 1].mean(axis=1)
    away = pixels - rim[:, None, None, :]
    distance = np.sqrt(away[..., 0] ** 2 + away[..., 1] ** 2 + away[..., 2] ** 2)
    stands_out = np.minimum(distance * np.float32(4), 1)
    luminance = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return _orientations(stands_out, _CELLS), _orientations(luminance, _COARSE)


def _orientations(plane: Array, cells: int) -> Array:
    """(regions, cells * cells * orientations) of planes (regions, GRID, GRID), of unit length."""
    padded = np.pad(plane, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    strength = np.sqrt(across * across + down * down).reshape(len(plane), -1)
    turn = np.arctan2(down, across).reshape(len(plane), -1) * np.float32(_ORIENTATIONS / np.pi)
    part = np.arange(GRID) * cells // GRID
    cell = (part[:, None] * cells + part[None, :]).reshape(-1)
    # A line has no sign: opposite gradients count as one orientation.
    votes = _histogram(turn % _ORIENTATIONS, strength, _ORIENTATIONS, cell, wrap=True)
    flat = np.sqrt(votes.reshape(len(plane), -1))
    length = np.sqrt((flat**2).sum(axis=1, keepdims=True))
    unit: Array = flat / np.maximum(length, 1e-2)
    return unit.astype(np.float32)


def _geometry(boxes: Array, width: int, height: int) -> Array:
    """(regions, 4 * places): soft bins of centre x, centre y, size and elongation."""
    x = (boxes[:, 0] + boxes[:, 2]) / (2 * width)
    y = (boxes[:, 1] + boxes[:, 3]) / (2 * height)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    size = np.sqrt(wide * high / (width * height)) / np.float32(0.5)
    long = np.log2(wide / high) / 2 + np.float32(0.5)
    parts = np.clip(np.stack([x, y, size, long], axis=1), 0, 1) * (_PLACES - 1)
    near = np.abs(parts[:, :, None] - np.arange(_PLACES, dtype=np.float32))
    votes: Array = np.sqrt(np.maximum(1 - near, 0)) / 2
    return votes.reshape(len(boxes), -1)


def _histogram(
    position: Array, weight: Array, bins: int, cell: NDArray[np.int64], *, wrap: bool = False
) -> Array:
    """Weighted histograms (regions, cells, bins); each vote is shared linearly by the two nearest bins.

    Args:
        position: (regions, pixels) in 0..bins - 1, or 0..bins when it wraps round.
        weight: (regions, pixels).
        bins: how many.
        cell: (pixels,) the cell each pixel belongs to, from 0.
        wrap: whether the last bin is the neighbour of the first.
    """
    cells = int(cell.max()) + 1
    lower = np.floor(position).astype(np.int64)
    share = (position - lower) * weight
    upper = (lower + 1) % bins if wrap else np.minimum(lower + 1, bins - 1)
    start = (np.arange(len(position))[:, None] * cells + cell[None, :]) * bins
    length = len(position) * cells * bins
    total: Array = np.bincount((start + lower % bins).ravel(), (weight - share).ravel(), length)
    total += np.bincount((start + upper).ravel(), share.ravel(), length)
    return total.reshape(len(position), cells, bins)
