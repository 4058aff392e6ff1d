"""The built data set: deterministic, linked, whole or not there."""

import numpy as np
import pytest
from PIL import Image

import scan_lightning.data.scenes.build as build_module
from scan_lightning.data.check import check_store
from scan_lightning.data.scenes.build import build_scenes, draft
from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError
from scenes.reading import LEXICON, overlap


def test_store_and_pictures_belong_together(built) -> None:
    store = Store(built.store)
    assert check_store(built.store) == []
    assert store.splits == {"train": 30, "val": 6, "test": 6}
    assert store.caption_count == 42 * 5
    assert {path.name for path in built.images.iterdir()} == set(store.image_ids)


def test_same_seed_same_bytes(built, tmp_path) -> None:
    again = tmp_path / "again.h5"
    build_scenes(again, images_dir=tmp_path / "again", train=30, val=6, test=6, seed=3, progress=False)
    first, second = Store(built.store), Store(again)
    rows = np.arange(first.image_count)
    assert first.read_regions(rows)[0].tobytes() == second.read_regions(rows)[0].tobytes()
    assert first.all_boxes().tobytes() == second.all_boxes().tobytes()
    assert first.caption_text(np.arange(210)) == second.caption_text(np.arange(210))
    assert first.gold_links.tobytes() == second.gold_links.tobytes()
    for name in first.image_ids:
        assert (built.images / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_an_image_depends_on_its_own_seed_only(built, tmp_path) -> None:
    fewer = tmp_path / "fewer.h5"
    build_scenes(fewer, images_dir=tmp_path / "fewer", train=4, val=1, test=3, seed=3, progress=False)
    for name in Store(fewer).image_ids:
        pixels = np.asarray(Image.open(tmp_path / "fewer" / name))
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(built.images / name)))
    assert draft("train", 0, 3).scene != draft("train", 0, 4).scene
    assert draft("train", 0, 3).scene != draft("test", 0, 3).scene


def test_links_lead_from_a_word_to_regions_of_an_object_it_fits(built) -> None:
    store = Store(built.store)
    links = store.gold_links
    words = store.caption_words(np.arange(store.caption_count))
    starts = store.region_offsets
    linked: dict[tuple[int, int], set[int]] = {}
    for caption, position, region in links.tolist():
        linked.setdefault((caption, position), set()).add(region)
    for (caption, position), regions in linked.items():
        image = int(store.caption_image[caption])
        split, number = store.image_id(image).removesuffix(".png").split("-")[1:]
        things = draft(split, int(number), seed=3).scene.things
        kind, value = LEXICON[words[caption][position]]
        assert kind in ("colour", "shape")
        boxes = store.boxes(image)
        for region in regions:
            assert starts[image] <= region < starts[image + 1]
            box = boxes[region - starts[image]]
            best = max(things, key=lambda thing: overlap(thing.box, box))
            assert overlap(best.box, box) >= 0.48
            assert getattr(best, kind) == value
    # Every colour and shape word is linked.
    told = [
        (caption, position)
        for caption, tokens in enumerate(words)
        for position, word in enumerate(tokens)
        if LEXICON.get(word, ("",))[0] in ("colour", "shape")
    ]
    assert set(told) == set(linked)


def test_most_regions_show_no_object(built) -> None:
    shares = []
    for index in range(30):
        item = draft("train", index, seed=3)
        assert all(item.regions_of)
        for thing, rows in zip(item.scene.things, item.regions_of, strict=True):
            fits = [row for row, box in enumerate(item.boxes) if overlap(thing.box, box) >= 0.5]
            assert set(fits) == set(rows)
            shares.append(len(rows) / len(item.boxes))
        owned = {row for rows in item.regions_of for row in rows}
        assert 4 <= len(item.boxes) - len(owned) <= 6
    assert 0.08 < np.mean(shares) < 0.25


def test_a_folder_of_other_things_is_not_replaced(tmp_path) -> None:
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "beach.jpg").write_bytes(b"precious")
    with pytest.raises(ScanError, match=r"holiday.*not a folder of scenes"):
        build_scenes(tmp_path / "s.h5", images_dir=holiday, train=2, val=0, test=0, seed=0, progress=False)
    assert (holiday / "beach.jpg").read_bytes() == b"precious"
    assert not (tmp_path / "s.h5").exists()


def test_interrupted_build_leaves_nothing_under_the_names(tmp_path, monkeypatch) -> None:
    calls = []

    def stop_at_third(**fields):
        calls.append(fields)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(**fields)

    original = build_module.ImageRecord
    monkeypatch.setattr(build_module, "ImageRecord", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        build_scenes(tmp_path / "s.h5", images_dir=tmp_path / "s", train=5, val=1, test=1, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_a_users_fault(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ScanError, match="cannot be written"):
        build_scenes(
            tmp_path / "s.h5", images_dir=tmp_path / "file" / "s", train=2, val=1, test=1, progress=False
        )


def test_rebuilding_replaces_pictures_and_store(tmp_path) -> None:
    for train in (4, 2):
        build_scenes(tmp_path / "s.h5", images_dir=tmp_path / "s", train=train, val=1, test=1, progress=False)
    assert Store(tmp_path / "s.h5").splits["train"] == 2
    assert len(list((tmp_path / "s").iterdir())) == 4
