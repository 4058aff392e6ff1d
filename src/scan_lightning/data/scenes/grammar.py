"""Captions of a scene, each with the links from its colour and shape words to the objects they mean.

A caption tells part of the truth and nothing but the truth: some objects go unmentioned, some attributes
unsaid. A phrase without a relation means every object it fits ("a red shape" in a picture with two of
them); a phrase inside a relation is made to fit one object only, so that the relation is about that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

from scan_lightning.data.scenes import words as say
from scan_lightning.data.scenes.world import Scene, Thing


@dataclass(frozen=True)
class Mention:
    """A colour or shape word: the character it starts at and the objects it means (indices)."""

    start: int
    things: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """One sentence about a scene."""

    text: str
    mentions: tuple[Mention, ...]


@dataclass(frozen=True)
class _Phrase:
    """What a noun phrase says of an object; None leaves it unsaid."""

    size: str | None = None
    texture: str | None = None
    colour: str | None = None
    shape: str | None = None

    def fits(self, scene: Scene) -> tuple[int, ...]:
        said = [(name, value) for name, value in vars(self).items() if value is not None]
        return tuple(
            index
            for index, thing in enumerate(scene.things)
            if all(getattr(thing, name) == value for name, value in said)
        )


@dataclass
class _Sentence:
    """Grows word by word and notes where the linked words start."""

    words: list[str] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)

    def say(self, text: str, means: tuple[int, ...] = ()) -> None:
        if means:
            start = sum(len(word) + 1 for word in self.words)
            self.mentions.append(Mention(start, means))
        self.words.append(text)

    def comma(self) -> None:
        self.words[-1] += ","

    def finish(self) -> Caption:
        return Caption(" ".join(self.words), tuple(self.mentions))


def write_captions(scene: Scene, random: Random, count: int = 5) -> list[Caption]:
    """`count` different captions, all true of the scene; at most one mentions a single object only."""
    captions: dict[str, Caption] = {}
    singles = 0
    while len(captions) < count:
        kind = random.choices(_KINDS, _WEIGHTS)[0]
        if kind is _single and singles:
            continue
        sentence = _Sentence()
        opening = random.choices(("", "there is", "a picture of", "we see"), (13, 2, 1, 1))[0]
        if opening:
            sentence.say(opening)
        if not kind(scene, random, sentence):
            continue
        if random.random() < 0.12:
            _say_ground(scene, random, sentence)
        caption = sentence.finish()
        singles += kind is _single and caption.text not in captions
        captions.setdefault(caption.text, caption)
    return list(captions.values())


def _single(scene: Scene, random: Random, sentence: _Sentence) -> bool:
    thing = random.choice(scene.things)
    # Alone, an object is told in full: little else tells its picture from the others.
    phrase = replace(_describe(thing, random), colour=thing.colour, shape=thing.shape, texture=thing.texture)
    _say_phrase(phrase, phrase.fits(scene), random, sentence)
    return True


def _several(scene: Scene, random: Random, sentence: _Sentence) -> bool:
    count = random.choices((2, 3), (3, 2))[0]
    if count > len(scene.things):
        return False
    phrases = [_describe(thing, random) for thing in random.sample(scene.things, count)]
    if len(set(phrases)) < count:
        return False
    for place, phrase in enumerate(phrases):
        if place:
            if place < count - 1:
                sentence.comma()
            else:
                sentence.say(random.choice(("and", "and", "with") if count == 2 else ("and",)))
        _say_phrase(phrase, phrase.fits(scene), random, sentence)
    return True


def _relation(scene: Scene, random: Random, sentence: _Sentence) -> bool:
    one, other = random.sample(range(len(scene.things)), 2)
    relations = list(true_relations(scene.things[one], scene.things[other]))
    phrases = [_pick_out(scene, index, random) for index in (one, other)]
    if not relations or None in phrases:
        return False
    first, second = (phrase for phrase in phrases if phrase is not None)
    _say_phrase(first, (one,), random, sentence)
    sentence.say(random.choice(say.RELATION_WORDS[random.choice(relations)]))
    _say_phrase(second, (other,), random, sentence)
    return True


def _group(scene: Scene, random: Random, sentence: _Sentence) -> bool:
    name = random.choice(("colour", "shape"))
    phrase = _Phrase(**{name: getattr(random.choice(scene.things), name)})
    group = phrase.fits(scene)
    others = [thing for index, thing in enumerate(scene.things) if index not in group]
    if len(group) < 2 or "there is" in sentence.words:
        return False
    sentence.say(say.NUMBERS[len(group)])
    if phrase.colour:
        sentence.say(_choose(say.COLOUR_WORDS[phrase.colour], random), group)
        sentence.say(say.plural(random.choice(say.ANY_SHAPE)))
    elif phrase.shape:
        sentence.say(say.plural(_choose(say.SHAPE_WORDS[phrase.shape], random)), group)
    if others:
        sentence.say("and")
        rest = _describe(random.choice(others), random)
        _say_phrase(rest, rest.fits(scene), random, sentence)
    return True


_Kind = Callable[[Scene, Random, _Sentence], bool]
_KINDS: tuple[_Kind, ...] = (_single, _several, _relation, _group)
_WEIGHTS = (2, 9, 9, 3)


def true_relations(one: Thing, other: Thing) -> Iterator[str]:
    """The relations (keys of `RELATION_WORDS`) in which `one` stands to `other`.

    A side is named only when the boxes lie clear of each other on it and it is the larger step of the
    two; things are beside each other when they stand side by side with less than 40 pixels between.
    """
    ax1, ay1, ax2, ay2 = one.box
    bx1, by1, bx2, by2 = other.box
    right, down = (bx1 + bx2 - ax1 - ax2) / 2, (by1 + by2 - ay1 - ay2) / 2
    if abs(right) > abs(down):
        if ax2 < bx1:
            yield "left"
        if bx2 < ax1:
            yield "right"
        if abs(down) * 2 < abs(right) and max(bx1 - ax2, ax1 - bx2) < 40:
            yield "beside"
    else:
        if ay2 < by1:
            yield "above"
        if by2 < ay1:
            yield "below"


def _describe(thing: Thing, random: Random) -> _Phrase:
    """A phrase that says some of an object's attributes: its colour, its shape or both, at least."""
    both = random.random()
    return _Phrase(
        size=thing.size if thing.size in say.SIZE_WORDS and random.random() < 0.4 else None,
        texture=thing.texture if random.random() < (0.08 if thing.texture == "plain" else 0.55) else None,
        colour=thing.colour if both < 0.89 else None,
        shape=thing.shape if both < 0.78 or both >= 0.89 else None,
    )


def _pick_out(scene: Scene, index: int, random: Random) -> _Phrase | None:
    """A phrase that fits one object and no other; None when even all attributes do not tell it apart."""
    thing = scene.things[index]
    phrase = _describe(thing, random)
    for name in ("colour", "shape", "texture", "size"):
        if phrase.fits(scene) == (index,):
            return phrase
        if name != "size" or thing.size in say.SIZE_WORDS:
            phrase = replace(phrase, **{name: getattr(thing, name)})
    return phrase if phrase.fits(scene) == (index,) else None


def _say_phrase(phrase: _Phrase, means: tuple[int, ...], random: Random, sentence: _Sentence) -> None:
    parts = (
        (phrase.size, say.SIZE_WORDS, ()),
        (phrase.texture, say.TEXTURE_WORDS, ()),
        (phrase.colour, say.COLOUR_WORDS, means),
        (phrase.shape, say.SHAPE_WORDS, means),
    )
    words = [(_choose(synonyms[said], random), objects) for said, synonyms, objects in parts if said]
    if not phrase.shape:
        words.append((random.choice(say.ANY_SHAPE), ()))
    sentence.say(say.article(words[0][0]))
    for word, objects in words:
        sentence.say(word, objects)


def _say_ground(scene: Scene, random: Random, sentence: _Sentence) -> None:
    words = [scene.background.tone]
    if scene.background.kind in say.GROUND_WORDS and random.random() < 0.7:
        words.append(say.GROUND_WORDS[scene.background.kind])
    sentence.say(f"on a {' '.join(words)} {random.choice(('background', 'ground'))}")


def _choose(synonyms: tuple[str, ...], random: Random) -> str:
    """The first synonym most of the time."""
    return random.choices(synonyms, [2.0] + [0.8] * (len(synonyms) - 1))[0]
