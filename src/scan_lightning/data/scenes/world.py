"""What a scene holds: sampling objects, their attributes and places, and the background.

Everything is a function of one `random.Random`, so a scene depends on its seed alone: not on how many
were made before it, in which order or by which process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random

from scan_lightning.data.scenes.shapes import SHAPES, Polygon, placed

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels

COLOURS: dict[str, Colour] = {
    "red": (214, 39, 40),
    "orange": (243, 136, 28),
    "yellow": (246, 214, 50),
    "green": (52, 158, 72),
    "blue": (38, 98, 206),
    "purple": (122, 60, 172),
    "pink": (244, 130, 182),
    "brown": (124, 76, 44),
    "white": (246, 245, 240),
    "black": (30, 30, 34),
}
TEXTURES = ("plain", "striped", "dotted", "checked")
RADII = {"small": (15.0, 19.0), "medium": (26.0, 31.0), "large": (40.0, 48.0)}  # pixels
CANVASES = ((256, 192), (224, 208), (192, 256))  # width, height
BACKGROUNDS = ("plain", "gradient", "cloudy", "grainy", "tiled", "horizon")
# Muted on purpose: a background must not pass for an object of its colour.
_GROUNDS: tuple[Colour, ...] = (
    (206, 212, 206),
    (196, 206, 222),
    (222, 206, 188),
    (168, 186, 178),
    (150, 160, 182),
    (188, 170, 176),
    (104, 116, 128),
    (118, 110, 122),
)
# Turned further, a square passes for a diamond and an arrow stops pointing the way it did.
_TILT = 14.0
_GAP = 7.0  # pixels kept free between two objects and beside the picture's edge


@dataclass(frozen=True)
class Thing:
    """One object: what captions may say of it, and what drawing needs."""

    shape: str
    colour: str
    texture: str
    size: str
    centre: tuple[float, float]
    radius: float
    degrees: float
    rgb: Colour

    @cached_property
    def polygon(self) -> Polygon:
        """(vertices, 2) outline in pixels."""
        return placed(self.shape, self.centre, self.radius, self.degrees)

    @cached_property
    def box(self) -> Box:
        """The tight bounding box."""
        (x1, y1), (x2, y2) = self.polygon.min(axis=0), self.polygon.max(axis=0)
        return float(x1), float(y1), float(x2), float(y2)


@dataclass(frozen=True)
class Background:
    """The ground: its kind, its colour, and the seed of its grain."""

    kind: str
    rgb: Colour
    seed: int

    @property
    def tone(self) -> str:
        """`dark` or `pale`, as a caption may call it."""
        return "dark" if luminance(self.rgb) < 140 else "pale"


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn."""

    width: int
    height: int
    background: Background
    things: tuple[Thing, ...]


def luminance(rgb: Colour) -> float:
    """Rec. 601 luma, 0 to 255."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def sample_scene(random: Random) -> Scene:
    """Draws a scene of 2 to 5 objects that neither touch each other nor drown in the background."""
    while True:
        scene = _attempt(random)
        if scene is not None:
            return scene


def _attempt(random: Random) -> Scene | None:
    width, height = random.choice(CANVASES)
    ground = random.choice(_GROUNDS)
    background = Background(random.choice(BACKGROUNDS), _jitter(random, ground, 8), random.getrandbits(32))
    visible = [name for name, rgb in COLOURS.items() if _distance(rgb, background.rgb) > 85.0]
    things: list[Thing] = []
    for _ in range(random.choices((2, 3, 4, 5), (3, 4, 4, 3))[0]):
        thing = _place(random, width, height, visible, things)
        if thing is None:
            return None
        things.append(thing)
    return Scene(width, height, background, tuple(things))


def _place(random: Random, width: int, height: int, colours: list[str], others: list[Thing]) -> Thing | None:
    """One more object beside `others`; None when no free place was found."""
    large = sum(thing.size == "large" for thing in others)
    size = random.choices(tuple(RADII), (5, 4, 3 if large < 2 else 0))[0]
    shape = random.choice(SHAPES)
    colour = random.choice(colours)
    texture = random.choices(TEXTURES, (5, 2, 2, 2))[0]
    radius = random.uniform(*RADII[size])
    degrees = random.uniform(-_TILT, _TILT)
    rgb = _jitter(random, COLOURS[colour], 10)
    x1, y1, x2, y2 = Thing(shape, colour, texture, size, (0.0, 0.0), radius, degrees, rgb).box
    taken = [other.box for other in others]
    for _ in range(30):
        x = random.uniform(_GAP - x1, width - _GAP - x2)
        y = random.uniform(_GAP - y1, height - _GAP - y2)
        if all(_apart((x + x1, y + y1, x + x2, y + y2), box) for box in taken):
            return Thing(shape, colour, texture, size, (x, y), radius, degrees, rgb)
    return None


def _apart(a: Box, b: Box) -> bool:
    return max(b[0] - a[2], a[0] - b[2], b[1] - a[3], a[1] - b[3]) >= _GAP


def _jitter(random: Random, rgb: Colour, amount: int) -> Colour:
    r, g, b = (min(255, max(0, value + random.randint(-amount, amount))) for value in rgb)
    return r, g, b


def _distance(a: Colour, b: Colour) -> float:
    return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5)
