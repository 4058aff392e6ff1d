"""What is sampled is what is drawn, and captions tell the truth about it."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from scan_lightning.data.scenes.build import draft
from scan_lightning.data.scenes.draw import render
from scan_lightning.data.scenes.shapes import SHAPES
from scan_lightning.data.scenes.world import COLOURS, TEXTURES, sample_scene
from scenes.reading import overlap, read, stands

SCENES = [sample_scene(Random(seed)) for seed in range(150)]


def test_scenes_are_varied() -> None:
    things = [thing for scene in SCENES for thing in scene.things]
    assert {len(scene.things) for scene in SCENES} == {2, 3, 4, 5}
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {thing.texture for thing in things} == set(TEXTURES)
    assert {thing.size for thing in things} == {"small", "medium", "large"}
    assert len({scene.background.kind for scene in SCENES}) >= 5
    assert len({(scene.width, scene.height) for scene in SCENES}) == 3


def test_objects_lie_within_the_picture_and_apart() -> None:
    for scene in SCENES:
        boxes = [thing.box for thing in scene.things]
        for box in boxes:
            assert box[0] >= 0
            assert box[1] >= 0
            assert box[2] <= scene.width
            assert box[3] <= scene.height
        for i, box in enumerate(boxes):
            assert all(overlap(box, other) == 0 for other in boxes[i + 1 :])


@pytest.mark.parametrize("seed", range(12))
def test_an_object_is_drawn_where_its_box_says(seed: int) -> None:
    scene = SCENES[seed]
    for thing in scene.things:
        without = replace(scene, things=tuple(other for other in scene.things if other is not thing))
        changed = np.abs(render(scene).astype(int) - render(without)).sum(axis=2) > 60
        ys, xs = np.nonzero(changed)
        drawn = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        np.testing.assert_allclose(drawn, thing.box, atol=4)  # the shadow reaches a little further


def test_a_plain_object_has_the_colour_it_is_named_after() -> None:
    checked = Counter()
    for scene in SCENES:
        picture = render(scene)
        for thing in scene.things:
            if thing.texture == "plain" and thing.shape in ("circle", "square", "star", "cross"):
                x, y = (round(value) for value in thing.centre)
                seen = picture[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)
                near = min(COLOURS, key=lambda name: float(((np.array(COLOURS[name]) - seen) ** 2).sum()))
                assert near == thing.colour
                checked[thing.colour] += 1
    assert len(checked) == len(COLOURS)


def test_captions_are_true_of_their_scene() -> None:
    kinds = Counter()
    for index in range(400):
        item = draft("train", index, seed=11)
        scene = item.scene
        assert len({caption.text for caption in item.captions}) == 5
        for caption in item.captions:
            phrases, joints, ground = read(caption.text)
            fitting = [phrase.matches(scene.things) for phrase in phrases]
            for phrase, fits in zip(phrases, fitting, strict=True):
                # "two discs" means exactly two; "a disc" that there is one at least.
                assert len(fits) == phrase.count if phrase.count > 1 else fits, caption.text
            for (left, right), joint in zip(pairwise(fitting), joints, strict=True):
                kinds[joint] += 1
                if joint != "and":
                    assert len(left) == len(right) == 1, f"{caption.text}: which one?"
                    one, other = scene.things[left[0]], scene.things[right[0]]
                    assert stands(joint, one.box, other.box), caption.text
            assert len({tuple(sorted(phrase.said.items())) for phrase in phrases}) == len(phrases), (
                f"{caption.text}: says the same twice"
            )
            assert _distinct(fitting), f"{caption.text}: one object named twice"
            if ground:
                tone = "dark" if sum(scene.background.rgb) / 3 < 145 else "pale"
                assert ground.split()[0] == tone
                surface = {"shaded": "gradient"}.get(ground.split()[1], ground.split()[1])
                assert surface in ("background", "ground", scene.background.kind)
    assert all(kinds[joint] > 20 for joint in ("and", "left", "right", "above", "below", "beside"))


def _distinct(fitting: list[list[int]], taken: frozenset[int] = frozenset()) -> bool:
    """Whether each phrase can be given an object of its own."""
    if not fitting:
        return True
    return any(_distinct(fitting[1:], taken | {i}) for i in fitting[0] if i not in taken)


def test_captions_leave_things_unsaid_and_use_synonyms() -> None:
    captions = [caption.text for index in range(100) for caption in draft("train", index, 0).captions]
    words = Counter(word for caption in captions for word in caption.replace(",", "").split())
    assert min(words[word] for word in ("crimson", "disc", "tiny", "stripy", "thing")) >= 3
    partial = sum("colour" not in p.said or "shape" not in p.said for c in captions for p in read(c)[0])
    assert 0.1 < partial / sum(len(read(c)[0]) for c in captions) < 0.6
