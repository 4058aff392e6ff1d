"""Region boxes of a scene, as a detector might propose them: objects seen roughly, and distractors."""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray

from scan_lightning.data.scenes.world import Box, Scene

_JITTER = 0.09  # of the box's size, either way, for each of its four sides
_SECOND = 0.35  # of the objects are proposed twice
_MINE = 0.5  # a region belongs to an object from this intersection over union on
_NOBODYS = 0.3  # a distractor stays below it with every object


def propose(scene: Scene, random: Random) -> tuple[NDArray[np.float32], list[tuple[int, ...]]]:
    """Boxes (regions, 4) float32 in the picture, in random order, and the rows that show each object."""
    boxes = [
        _jittered(thing.box, scene, random)
        for thing in scene.things
        for _ in range(2 if random.random() < _SECOND else 1)
    ]
    objects = [thing.box for thing in scene.things]
    wanted = len(boxes) + random.randint(4, 6)
    while len(boxes) < wanted:
        box = _distractor(scene, random)
        if max(overlap(box, other) for other in objects) < _NOBODYS:
            boxes.append(box)
    random.shuffle(boxes)
    rows = [
        tuple(row for row, box in enumerate(boxes) if overlap(box, thing.box) >= _MINE)
        for thing in scene.things
    ]
    return np.array(boxes, dtype=np.float32), rows


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _jittered(box: Box, scene: Scene, random: Random) -> Box:
    wide, high = box[2] - box[0], box[3] - box[1]
    sides = [random.uniform(-_JITTER, _JITTER) * reach for reach in (wide, high, wide, high)]
    return (
        max(0.0, box[0] + sides[0]),
        max(0.0, box[1] + sides[1]),
        min(float(scene.width), box[2] + sides[2]),
        min(float(scene.height), box[3] + sides[3]),
    )


def _distractor(scene: Scene, random: Random) -> Box:
    """A patch anywhere, often enough ground only, part of an object or parts of several."""
    wide, high = random.uniform(28.0, 110.0), random.uniform(28.0, 110.0)
    x, y = random.uniform(0.0, scene.width - wide), random.uniform(0.0, scene.height - high)
    return (x, y, x + wide, y + high)
