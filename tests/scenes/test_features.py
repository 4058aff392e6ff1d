"""Features are a function of the pixels and the box, of all of them and of nothing else."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from scan_lightning.data.scenes.draw import render
from scan_lightning.data.scenes.features import FEATURE_DIM, region_features
from scan_lightning.data.scenes.world import sample_scene
from scan_lightning.data.store import Store


def test_features_of_the_saved_picture_are_the_stored_bytes(built) -> None:
    store = Store(built.store)
    for row in range(store.image_count):
        picture = np.asarray(Image.open(built.images / store.image_id(row)))
        assert picture.shape[1::-1] == store.image_size(row)
        (stored,), _ = store.read_regions(np.array([row]))
        again = region_features(picture, store.boxes(row)).astype(stored.dtype)
        assert again.tobytes() == stored.tobytes()


def test_features_follow_the_pixels() -> None:
    scene = sample_scene(Random(1))
    box = np.array([scene.things[0].box], dtype=np.float32)
    picture = render(scene)
    before = region_features(picture, box)
    assert before.shape == (1, FEATURE_DIM)
    assert before.dtype == np.float32

    inside, outside = picture.copy(), picture.copy()
    x1, y1, x2, y2 = box[0].astype(int)
    inside[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4] = (0, 255, 255)
    assert np.abs(region_features(inside, box) - before).max() > 0.1
    far = np.ones(picture.shape[:2], dtype=bool)
    far[max(0, y1 - 20) : y2 + 20, max(0, x1 - 20) : x2 + 20] = False
    outside[far] = 255 - outside[far]
    np.testing.assert_array_equal(region_features(outside, box), before)


def test_renamed_objects_that_look_the_same_have_the_same_features() -> None:
    scene = sample_scene(Random(2))
    lying = replace(scene, things=tuple(replace(thing, colour="red", size="large") for thing in scene.things))
    boxes = np.array([thing.box for thing in scene.things], dtype=np.float32)
    np.testing.assert_array_equal(
        region_features(render(lying), boxes), region_features(render(scene), boxes)
    )


def test_a_region_does_not_depend_on_its_neighbours_in_the_list() -> None:
    scene = sample_scene(Random(5))
    boxes = np.array([thing.box for thing in scene.things], dtype=np.float32)
    together = region_features(render(scene), boxes)
    alone = np.concatenate([region_features(render(scene), box[None]) for box in boxes])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_features_tell_colours_shapes_and_places_apart() -> None:
    ground = np.full((100, 100, 3), 200, dtype=np.uint8)
    red, blue, moved = ground.copy(), ground.copy(), ground.copy()
    red[30:60, 30:60] = (220, 30, 30)
    blue[30:60, 30:60] = (30, 60, 220)
    moved[40:70, 60:90] = (220, 30, 30)
    box, elsewhere = np.float32([[28, 28, 62, 62]]), np.float32([[58, 38, 92, 72]])
    features = [region_features(p, b)[0] for p, b in ((red, box), (blue, box), (moved, elsewhere))]
    colour, shape, place = slice(0, 51), slice(51, 51 + 160), slice(51 + 160, None)
    assert np.abs(features[0][colour] - features[1][colour]).max() > 0.2
    np.testing.assert_allclose(features[0][shape][:128], features[1][shape][:128], atol=0.05)
    np.testing.assert_allclose(features[0][colour], features[2][colour], atol=0.02)
    assert np.abs(features[0][place] - features[2][place]).max() > 0.1


def test_flat_and_tiny_regions_are_finite() -> None:
    flat = np.full((50, 50, 3), 7, dtype=np.uint8)
    boxes = np.float32([[0, 0, 50, 50], [10, 10, 11, 11], [0, 0, 50, 1]])
    assert np.isfinite(region_features(flat, boxes)).all()


def test_the_module_cannot_see_labels() -> None:
    import scan_lightning.data.scenes.features as module

    source = Path(module.__file__).read_text()
    assert "scan_lightning" not in source  # no import of the world, so no label can reach it
