"""convert, subset, merge: against the records the first store was written from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_help import fault_of, leftovers, make_records, run_data, write

from scan_lightning.data.check import check_store
from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord


def same_records(store: Store, records: list[ImageRecord], dtype: str) -> None:
    """The store holds exactly these records, in this order, and is without fault."""
    assert check_store(store.path, progress=False) == []
    assert store.image_ids == [record.id for record in records]
    features, counts = store.read_regions(np.arange(len(records)))
    captions = iter(range(store.caption_count))
    for row, record in enumerate(records):
        np.testing.assert_array_equal(features[row, : counts[row]], record.features.astype(dtype))
        assert row in store.image_rows(record.split)
        assert store.image_size(row) == (record.width, record.height)
        boxes = np.full((len(record.features), 4), np.nan) if record.boxes is None else record.boxes
        np.testing.assert_array_equal(store.boxes(row), boxes)
        own = [next(captions) for _ in record.captions]
        assert store.caption_text(np.array(own)) == list(record.captions)
    assert next(captions, None) is None


@pytest.mark.parametrize(("first", "then"), [("float32", "float16"), ("float16", "float32")])
def test_convert(tmp_path: Path, first: str, then: str) -> None:
    records = make_records(600, dim=4)
    path = write(tmp_path / "a.h5", records, dtype=first)
    assert run_data("convert", path, "--dtype", then, "--out", tmp_path / "b.h5") == 0
    store = Store(tmp_path / "b.h5")
    assert store.feature_dtype == np.dtype(then)
    assert store.source == "test"
    rounded = [replace(record, features=record.features.astype(first)) for record in records]
    same_records(store, rounded, then)


def test_convert_of_values_beyond_float16(tmp_path: Path) -> None:
    record = replace(make_records(1)[0], features=np.full((2, 8), 1e6, np.float32), boxes=None)
    path = write(tmp_path / "a.h5", [record], dtype="float32")
    message = fault_of(lambda: run_data("convert", path, "--dtype", "float16", "--out", tmp_path / "b.h5"))
    assert record.id in message
    assert "65504" in message
    assert leftovers(tmp_path) == ["a.h5"]


def test_gold_links_come_along(tmp_path: Path) -> None:
    features = np.ones((3, 4), np.float32)
    texts = ["İ red ball", "no link", "a blue box"]
    links = [(0, 2, 1), (0, 6, 2), (2, 7, 0)]
    records = [
        ImageRecord("a", "train", 0, 0, features, None, ["first"]),
        ImageRecord("b", "train", 0, 0, features, None, texts, links),
    ]
    path = write(tmp_path / "a.h5", records)
    before = Store(path)
    run_data("convert", path, "--dtype", "float32", "--out", tmp_path / "b.h5")
    assert (
        Store(tmp_path / "b.h5").gold_links.tolist()
        == before.gold_links.tolist()
        == [[1, 1, 4], [1, 2, 5], [3, 2, 3]]
    )
    (tmp_path / "ids.txt").write_text("b\n")
    run_data("subset", path, "--ids", tmp_path / "ids.txt", "--out", tmp_path / "c.h5")
    assert Store(tmp_path / "c.h5").gold_links.tolist() == [[0, 1, 1], [0, 2, 2], [2, 2, 0]]


def test_subset_by_split_number_and_id(tmp_path: Path) -> None:
    records = make_records(40)
    path = write(tmp_path / "a.h5", records, dtype="float32")

    def subset(*options: str | Path) -> Store:
        run_data("subset", path, *options, "--out", tmp_path / "b.h5", "--overwrite")
        return Store(tmp_path / "b.h5")

    same_records(subset("--splits", "val"), [r for r in records if r.split == "val"], "float32")
    seen: dict[str, int] = {}
    first_two = []
    for record in records:
        seen[record.split] = seen.get(record.split, 0) + 1
        if seen[record.split] <= 2:
            first_two.append(record)
    same_records(subset("--images", "2"), first_two, "float32")
    (tmp_path / "ids.txt").write_text("image-0-9\nimage-0-3\n\nimage-0-21\n")
    named = [records[row] for row in (3, 9, 21)]
    same_records(subset("--ids", tmp_path / "ids.txt"), named, "float32")
    both = [record for record in named if record.split == named[0].split]
    same_records(subset("--ids", tmp_path / "ids.txt", "--splits", named[0].split), both, "float32")
    words, counts = subset("--splits", "test").lexicon
    assert words
    assert not counts.any()  # counted anew: nothing of train is left


def test_faults_of_subset(tmp_path: Path) -> None:
    records = [record for record in make_records(20) if record.split != "test"]
    path = write(tmp_path / "a.h5", records)
    out = ("--out", tmp_path / "b.h5")
    assert "no split 'test'" in fault_of(lambda: run_data("subset", path, "--splits", "test", *out))
    (tmp_path / "ids.txt").write_text("image-0-0\nimage-0-1x\n")
    assert "'image-0-1x'" in fault_of(lambda: run_data("subset", path, "--ids", tmp_path / "ids.txt", *out))
    (tmp_path / "ids.txt").write_text("")
    assert "nothing is left" in fault_of(
        lambda: run_data("subset", path, "--ids", tmp_path / "ids.txt", *out)
    )
    assert "would be written" in fault_of(lambda: run_data("subset", path, "--out", path, "--overwrite"))
    assert not (tmp_path / "b.h5").exists()


def test_merge(tmp_path: Path) -> None:
    parts = [make_records(20, seed=seed) for seed in range(3)]
    paths = [write(tmp_path / f"{seed}.h5", part, source=f"s{seed}") for seed, part in enumerate(parts)]
    assert run_data("merge", *paths, "--out", tmp_path / "all.h5") == 0
    store = Store(tmp_path / "all.h5")
    same_records(store, [record for part in parts for record in part], "float16")
    assert store.source == "s0 + s1 + s2"


def test_faults_of_merge(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5", make_records(5))
    out = ("--out", tmp_path / "out.h5")
    for name, records, options, words in (
        ("wide", make_records(5, dim=9, seed=1), {}, ["features are wide 9", "8"]),
        ("type", make_records(5, seed=1), {"dtype": "float32"}, ["float32", "float16", "data convert"]),
        ("ids", make_records(5), {}, ["'image-0-0'", "a.h5", "data subset --ids"]),
    ):
        other = write(tmp_path / f"{name}.h5", records, **options)
        message = fault_of(lambda other=other: run_data("merge", first, other, *out))
        assert all(word in message for word in (*words, f"{name}.h5")), message
    assert not (tmp_path / "out.h5").exists()
