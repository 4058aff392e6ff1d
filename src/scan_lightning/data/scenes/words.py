"""The words captions are made of: synonyms of each attribute and relation."""

from __future__ import annotations

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rosy"),
    "brown": ("brown", "chestnut"),
    "white": ("white", "ivory"),
    "black": ("black", "ebony"),
}
SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc"),
    "ring": ("ring", "hoop"),
    "square": ("square", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "plus"),
    "diamond": ("diamond", "rhombus"),
    "heart": ("heart",),
    "moon": ("moon", "crescent"),
    "arrow": ("arrow",),
}
TEXTURE_WORDS: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "solid"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted"),
    "checked": ("checked", "checkered"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {  # medium is never said
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
}
ANY_SHAPE = ("shape", "object", "thing")
PLURALS = {"cross": "crosses", "plus": "pluses", "rhombus": "rhombuses"}  # the others take an s
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "beside": ("next to", "beside"),
}
GROUND_WORDS = {"gradient": "shaded", "cloudy": "cloudy", "grainy": "grainy", "tiled": "tiled"}


def plural(noun: str) -> str:
    """The plural of a shape word or of one of `ANY_SHAPE`."""
    return PLURALS.get(noun, noun + "s")


def article(word: str) -> str:
    """`a` or `an`, as the next word wants it."""
    return "an" if word[0] in "aeiou" else "a"
