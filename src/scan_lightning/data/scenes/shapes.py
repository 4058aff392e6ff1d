"""Outlines of the shapes a scene is made of, as polygons around the origin.

A polygon rather than a drawing command, because the same vertices give the picture its pixels and the
object its exact bounding box.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Polygon: TypeAlias = NDArray[Any]  # (vertices, 2) float64, x to the right and y downwards

_ROUND = 48  # vertices of a curved outline: smooth at the sizes drawn here


def _from_polar(radii: NDArray[Any], degrees: NDArray[Any]) -> Polygon:
    angles = np.deg2rad(degrees)
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1)


def _regular(corners: int, start: float = 0.0, reach: float = 1.0) -> Polygon:
    return _from_polar(np.full(corners, reach), start + np.arange(corners) * 360.0 / corners)


def _ring() -> Polygon:
    # Out along the rim, back along the hole: one polygon whose seam is a line of zero width.
    turn = np.linspace(0.0, 360.0, _ROUND + 1)
    outer, inner = np.ones_like(turn), np.full_like(turn, 0.52)
    return np.concatenate([_from_polar(outer, turn), _from_polar(inner, turn[::-1])])


def _cross() -> Polygon:
    arm, half = 0.94, 0.32
    corners = [(half, -arm), (half, -half), (arm, -half), (arm, half), (half, half), (half, arm)]
    return np.array(corners + [(-x, -y) for x, y in corners])


def _heart() -> Polygon:
    t = np.linspace(0.0, 2 * np.pi, _ROUND, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 17.0, (y - 2.5) / 17.0], axis=1)


def _moon() -> Polygon:
    # The unit circle less a circle further right: out along the long arc, back along the bite.
    bite, radius = 0.55, 0.80
    x = (1 + bite**2 - radius**2) / (2 * bite)  # where the two circles meet
    y = np.sqrt(1 - x**2)
    long, back = np.arctan2(y, x), np.arctan2(y, x - bite)
    outer = np.linspace(long, 2 * np.pi - long, 40)
    inner = np.linspace(2 * np.pi - back, back, 30)[1:-1]
    rim = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    hollow = np.stack([bite + radius * np.cos(inner), radius * np.sin(inner)], axis=1)
    polygon: Polygon = np.concatenate([rim, hollow]) + np.array([0.15, 0.0])
    return polygon


def _arrow() -> Polygon:
    head, neck, wide, thin = 1.0, 0.1, 0.72, 0.27
    return np.array(
        [(head, 0.0), (neck, wide), (neck, thin), (-head, thin), (-head, -thin), (neck, -thin), (neck, -wide)]
    )


_OUTLINES: dict[str, Callable[[], Polygon]] = {
    "circle": lambda: _regular(_ROUND),
    "ring": _ring,
    "square": lambda: _regular(4, 45.0, reach=1.12),
    "triangle": lambda: _regular(3) + np.array([0.0, 0.2]),
    "star": lambda: _from_polar(np.where(np.arange(10) % 2 == 0, 1.0, 0.43), np.arange(10) * 36.0),
    "cross": _cross,
    "diamond": lambda: np.array([(0.0, -1.0), (0.62, 0.0), (0.0, 1.0), (-0.62, 0.0)]),
    "heart": _heart,
    "moon": _moon,
    "arrow": _arrow,
}

SHAPES: tuple[str, ...] = tuple(_OUTLINES)


@cache
def outline(shape: str) -> Polygon:
    """The outline of one of `SHAPES`, roughly within the unit circle; read-only, as it is shared."""
    polygon = _OUTLINES[shape]()
    polygon.setflags(write=False)
    return polygon


def placed(shape: str, centre: tuple[float, float], radius: float, degrees: float) -> Polygon:
    """The outline turned by `degrees` (clockwise on the screen), scaled and moved, in pixels."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    polygon: Polygon = outline(shape) @ turn * radius + np.asarray(centre)
    return polygon
