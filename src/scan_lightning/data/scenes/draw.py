"""Rendering a scene with Pillow: the only place where labels turn into pixels."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from scan_lightning.data.scenes.world import Background, Scene, Thing, luminance

Pixels: TypeAlias = NDArray[np.uint8]  # (height, width, 3)
Radii: TypeAlias = NDArray[Any]  # float32 coordinates along one axis, in radii of the object

_FINE = 3  # objects are drawn at this scale and reduced: smooth edges
_SHADOW = 2  # pixels the shadow falls to the lower right
_FADE = (np.arange(256) * 34 // 100).astype(np.uint8)  # how dark it is


def render(scene: Scene) -> Pixels:
    """A scene's picture (height, width, 3) uint8 RGB; the same bytes for the same scene."""
    canvas = _ground(scene.background, scene.width, scene.height)
    for thing in scene.things:
        _paste(canvas, thing)
    return np.asarray(canvas)


def _ground(background: Background, width: int, height: int) -> Image.Image:
    grain = np.random.default_rng(background.seed)
    light = np.zeros((height, width), dtype=np.float32)
    down = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    across = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    match background.kind:
        case "gradient":
            turn = grain.uniform(0.0, 2 * np.pi)
            light += 16.0 * (np.sin(turn) * down + np.cos(turn) * across)
        case "cloudy":
            coarse = grain.integers(0, 256, (5, 6), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            light += (np.asarray(smooth, dtype=np.float32) - 127.5) * 0.16
        case "grainy":
            speck = grain.integers(-9, 10, ((height + 1) // 2, (width + 1) // 2)).repeat(2, 0).repeat(2, 1)
            light += speck[:height, :width]
        case "tiled":
            pitch = int(grain.integers(26, 38))
            joint = (np.arange(width)[None, :] % pitch < 2) | (np.arange(height)[:, None] % pitch < 2)
            light += np.where(joint, -15.0, 2.0)
        case "horizon":
            edge = grain.uniform(0.1, 0.5)
            light += np.where(down > edge, -20.0 + 8.0 * (down - edge), 6.0 * down) + 0.0 * across
    shades = np.clip(np.asarray(background.rgb) + np.arange(-128, 128)[:, None], 0, 255).astype(np.uint8)
    ground = Image.fromarray(np.rint(light + 128).astype(np.uint8))
    ground.putpalette(shades.tobytes())  # a light level's colour; level 128 is the ground's own
    return ground.convert("RGB")


def _paste(canvas: Image.Image, thing: Thing) -> None:
    x1, y1, x2, y2 = thing.box
    margin = 6  # room for the rim and the soft shadow
    left, top = int(x1) - margin, int(y1) - margin
    size = (int(x2) + margin + 2 - left, int(y2) + margin + 2 - top)
    fine = (size[0] * _FINE, size[1] * _FINE)
    corners = (thing.polygon - (left, top)) * _FINE
    outline = [(x, y) for x, y in corners.tolist()]

    mask = Image.new("L", fine)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    surface = _surface(thing, left, top, fine)
    rim = tuple(int(0.55 * value) for value in thing.rgb)
    if thing.shape != "ring":  # the ring's outline has a seam, which a rim would show
        ImageDraw.Draw(surface).line([*outline, outline[0]], fill=rim, width=4, joint="curve")

    coverage = mask.reduce(_FINE)
    shadow = Image.fromarray(_FADE[np.asarray(coverage.filter(ImageFilter.GaussianBlur(1.8)))])
    canvas.paste((24, 26, 34), (left + _SHADOW, top + _SHADOW), shadow)
    canvas.paste(surface.reduce(_FINE), (left, top), coverage)


def _surface(thing: Thing, left: int, top: int, fine: tuple[int, int]) -> Image.Image:
    """The object's colour and texture over its whole patch, at the fine scale."""
    x, y = (
        (((np.arange(length) + 0.5) / _FINE + start - centre) / thing.radius).astype(np.float32)
        for length, start, centre in zip(fine, (left, top), thing.centre, strict=True)
    )
    light = (1.0 - 0.06 * y)[:, None, None]  # lit from above
    base = np.asarray(thing.rgb, dtype=np.float64)
    surface = _rows(base * light, fine)
    if thing.texture != "plain":
        # The second shade keeps the hue, so that a striped red square still is red and nothing else.
        shade = base * 0.45 if luminance(thing.rgb) > 70 else base + (255.0 - base) * 0.42
        marked = Image.fromarray(_marked(thing, x, y).astype(np.uint8) * 255)
        surface.paste(_rows(shade * light, fine), (0, 0), marked)
    return surface


def _rows(colours: NDArray[np.float64], size: tuple[int, int]) -> Image.Image:
    """An image whose every row has the one colour given for it: colours (height, 1, 3)."""
    column = Image.fromarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8))
    return column.resize(size, Image.Resampling.NEAREST)


def _marked(thing: Thing, x: Radii, y: Radii) -> NDArray[Any]:
    """(height, width): where the texture shows its second shade; x and y in radii from the centre."""
    angle = np.deg2rad(thing.degrees + 30.0)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    # Moved to the positive side, where cutting off the fraction rounds down.
    across = x[None, :] * cos + (y[:, None] * sin + 8)
    along = y[:, None] * cos + (8 - x[None, :] * sin)
    marked: NDArray[Any]
    match thing.texture:
        case "striped":
            marked = (across * 3.6).astype(np.int16) & 1 == 0
        case "checked":
            marked = ((across * 2.6).astype(np.int16) ^ (along * 2.6).astype(np.int16)) & 1 == 0
        case _:
            dot_x, dot_y = (np.modf(axis * 2.3)[0] - 0.5 for axis in (across, along))
            marked = dot_x * dot_x + dot_y * dot_y < 0.085
    return marked
