"""An independent reader of scene captions: its own lexicon, its own idea of what is true of a scene.

Nothing here comes from the generator's words or grammar, so that a fault there cannot hide here.
"""

from __future__ import annotations

from dataclasses import dataclass

LEXICON: dict[str, tuple[str, str]] = {
    **dict.fromkeys(["red", "crimson", "scarlet"], ("colour", "red")),
    **dict.fromkeys(["orange", "tangerine"], ("colour", "orange")),
    **dict.fromkeys(["yellow", "golden"], ("colour", "yellow")),
    **dict.fromkeys(["green", "emerald"], ("colour", "green")),
    **dict.fromkeys(["blue", "azure"], ("colour", "blue")),
    **dict.fromkeys(["purple", "violet"], ("colour", "purple")),
    **dict.fromkeys(["pink", "rosy"], ("colour", "pink")),
    **dict.fromkeys(["brown", "chestnut"], ("colour", "brown")),
    **dict.fromkeys(["white", "ivory"], ("colour", "white")),
    **dict.fromkeys(["black", "ebony"], ("colour", "black")),
    **dict.fromkeys(["circle", "circles", "disc", "discs"], ("shape", "circle")),
    **dict.fromkeys(["ring", "rings", "hoop", "hoops"], ("shape", "ring")),
    **dict.fromkeys(["square", "squares", "block", "blocks"], ("shape", "square")),
    **dict.fromkeys(["triangle", "triangles"], ("shape", "triangle")),
    **dict.fromkeys(["star", "stars"], ("shape", "star")),
    **dict.fromkeys(["cross", "crosses", "plus", "pluses"], ("shape", "cross")),
    **dict.fromkeys(["diamond", "diamonds", "rhombus", "rhombuses"], ("shape", "diamond")),
    **dict.fromkeys(["heart", "hearts"], ("shape", "heart")),
    **dict.fromkeys(["moon", "moons", "crescent", "crescents"], ("shape", "moon")),
    **dict.fromkeys(["arrow", "arrows"], ("shape", "arrow")),
    **dict.fromkeys(["plain", "solid"], ("texture", "plain")),
    **dict.fromkeys(["striped", "stripy"], ("texture", "striped")),
    **dict.fromkeys(["dotted", "spotted"], ("texture", "dotted")),
    **dict.fromkeys(["checked", "checkered"], ("texture", "checked")),
    **dict.fromkeys(["small", "little", "tiny"], ("size", "small")),
    **dict.fromkeys(["large", "big", "huge"], ("size", "large")),
}
NOUNS = {word for word, (kind, _) in LEXICON.items() if kind == "shape"} | {
    *("shape", "object", "thing"),
    *("shapes", "objects", "things"),
}
NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5}
JOINTS = {
    ",": "and",
    "and": "and",
    "with": "and",
    "left of": "left",
    "to the left of": "left",
    "right of": "right",
    "to the right of": "right",
    "above": "above",
    "over": "above",
    "below": "below",
    "under": "below",
    "next to": "beside",
    "beside": "beside",
}
OPENINGS = ("there is", "a picture of", "we see")


@dataclass
class Phrase:
    count: int
    said: dict[str, str]

    def matches(self, things) -> list[int]:
        return [
            i for i, thing in enumerate(things) if all(getattr(thing, k) == v for k, v in self.said.items())
        ]


def read(text: str) -> tuple[list[Phrase], list[str], str | None]:
    """A caption's noun phrases, what joins them, and what it says of the ground."""
    for opening in OPENINGS:
        text = text.removeprefix(opening + " ")
    text, _, ground = text.partition(" on a ")
    words = text.replace(",", " ,").split()
    phrases, joints, joint = [], [], []
    while words:
        word = words.pop(0)
        if word not in NUMBERS:
            joint.append(word)
            continue
        if phrases:
            joints.append(JOINTS[" ".join(joint)])
        joint, said = [], {}
        while True:
            part = words.pop(0)
            if part in LEXICON:
                kind, value = LEXICON[part]
                assert kind not in said, text
                said[kind] = value
            else:
                assert part in NOUNS, f"{part!r} in {text!r}"
            if part in NOUNS:
                break
        phrases.append(Phrase(NUMBERS[word], said))
    assert not joint, text
    return phrases, joints, ground or None


def stands(relation: str, one, other) -> bool:
    """Whether the first box stands in a relation to the second, by eye: clear of it on that side."""
    ax1, ay1, ax2, ay2 = one
    bx1, by1, bx2, by2 = other
    level = abs((ax1 + ax2) - (bx1 + bx2)) > abs((ay1 + ay2) - (by1 + by2))
    return {
        "left": level and ax2 < bx1,
        "right": level and ax1 > bx2,
        "above": not level and ay2 < by1,
        "below": not level and ay1 > by2,
        "beside": level and max(bx1 - ax2, ax1 - bx2) < 40,
    }[relation]


def overlap(a, b) -> float:
    """Intersection over union, counted on a fine grid of points rather than by formula."""
    import numpy as np

    xs, ys = np.arange(0, 260, 0.5) + 0.25, np.arange(0, 260, 0.5) + 0.25

    def inside(box):
        across = (xs >= box[0]) & (xs < box[2])
        down = (ys >= box[1]) & (ys < box[3])
        return down[:, None] & across[None, :]

    return (inside(a) & inside(b)).sum() / (inside(a) | inside(b)).sum()
