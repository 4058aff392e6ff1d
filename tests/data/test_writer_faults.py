"""Records that cannot be stored: one message, nothing under the final name."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from store_help import fault_of, leftovers, make_records, write

from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.files import atomic_file, writing

GOOD = ImageRecord(
    "good", "train", 100, 80, np.ones((2, 4), np.float32), np.array([[0, 0, 5, 5], [1, 1, 99, 79]]), ["a dog"]
)
NAN = np.array([[1, 2, 3, 4], [1, np.nan, 3, 4]], dtype=np.float32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "good"}, ["'good'", "twice", "train"]),
        ({"id": ""}, ["empty id"]),
        ({"id": "a\0b"}, ["zero byte"]),
        ({"split": "dev"}, ["'dev'", "train, val, test"]),
        ({"captions": ["a\0b"]}, ["zero byte"]),
        ({"captions": ["a \ud800 b"]}, ["UTF-8"]),
        ({"features": NAN}, ["feature 1 of region 1 is nan"]),
        ({"features": np.full((2, 4), np.inf)}, ["inf", "8 of 8"]),
        ({"features": np.full((2, 4), 7e4)}, ["70000", "--dtype float32"]),
        ({"features": np.ones((2, 5))}, ["(2, 5)", "(regions, 4)"]),
        ({"features": np.ones((0, 4))}, ["(0, 4)", "at least one region"]),
        ({"features": np.ones(8)}, ["(8,)"]),
        ({"features": np.ones((2, 4), dtype=int)}, ["int64", "float32"]),
        ({"boxes": np.ones((3, 4))}, ["(3, 4)", "(2, 4)"]),
        ({"boxes": np.array([[0, 0, 5, 5], [9, 1, 3, 3]])}, ["box 1", "swapped"]),
        ({"boxes": np.array([[0, 0, 500, 5], [1, 1, 3, 3]])}, ["box 0", "outside", "100 x 80"]),
        ({"boxes": np.array([[-5, 0, 50, 5], [1, 1, 3, 3]])}, ["box 0", "outside"]),
        ({"boxes": np.array([[0, 0, np.nan, 5], [1, 1, 3, 3]])}, ["box 0", "not four numbers"]),
        ({"boxes": np.array([[0, 0, np.inf, 5], [1, 1, 3, 3]])}, ["box 0", "not four numbers"]),
    ],
)
def test_a_faulty_record_is_named(tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
    bad = replace(GOOD, **({"id": "bad"} | change))
    options = {"feature_dim": 4, "images": 2, "regions": 4}
    message = fault_of(lambda: write(tmp_path / "s.h5", [GOOD, bad], **options))
    assert all(word in message for word in words), message
    assert repr(bad.id) in message or "counted from 0" in message
    assert leftovers(tmp_path) == []


def test_large_values_fit_float32(tmp_path: Path) -> None:
    record = replace(GOOD, features=np.full((2, 4), 7e4, np.float32))
    store = Store(write(tmp_path / "s.h5", [record], dtype="float32"))
    assert (store.read_regions(np.array([0]))[0] == 7e4).all()


def test_a_region_without_a_box_among_others_and_a_pixel_of_slack(tmp_path: Path) -> None:
    boxes = np.array([[np.nan] * 4, [-0.5, 0, 100.9, 80]], dtype=np.float32)
    store = Store(write(tmp_path / "s.h5", [replace(GOOD, boxes=boxes)]))
    np.testing.assert_array_equal(store.boxes(0), boxes)


@pytest.mark.parametrize(("images", "regions"), [(1, 4), (3, 4), (2, 3), (2, 5), (1, 2), (3, 6)])
def test_wrong_totals(tmp_path: Path, images: int, regions: int) -> None:
    records = [GOOD, replace(GOOD, id="other")]
    message = fault_of(lambda: write(tmp_path / "s.h5", records, images=images, regions=regions))
    assert "counted" in message
    assert leftovers(tmp_path) == []


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "s.h5", make_records())
    before = path.read_bytes()
    assert "--overwrite" in fault_of(lambda: write(path, [GOOD], overwrite=False))
    assert path.read_bytes() == before
    fault_of(lambda: write(path, [GOOD, GOOD]))  # a failed overwrite
    assert path.read_bytes() == before
    assert Store(write(path, [GOOD], overwrite=True)).image_count == 1
    assert leftovers(tmp_path) == ["s.h5"]


def other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros(3)


@pytest.mark.parametrize("fill", [lambda path: path.write_text("a caption\n"), other_hdf5])
def test_what_never_was_a_store_is_not_replaced_by_one(tmp_path: Path, fill: Callable[[Path], Any]) -> None:
    path = tmp_path / "train_caps.txt"
    fill(path)
    before = path.read_bytes()
    assert "is not a store" in fault_of(lambda: write(path, [GOOD], overwrite=True))
    assert path.read_bytes() == before


def test_a_damaged_store_is_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "s.h5", make_records())
    os.truncate(path, 3000)
    assert Store(write(path, [GOOD], overwrite=True)).image_count == 1
    path.write_bytes(b"")
    assert Store(write(path, [GOOD], overwrite=True)).image_count == 1


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert "is a folder" in fault_of(lambda: write(tmp_path, [GOOD]))


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    message = fault_of(lambda: write(tmp_path / "file" / "s.h5", [GOOD]))
    assert "cannot be written" in message


def test_a_folder_that_takes_no_files() -> None:
    message = fault_of(lambda: write(Path("/proc/s.h5"), [GOOD]))
    assert "/proc/s.h5" in message
    assert "cannot be written" in message


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert write(tmp_path / "a" / "b" / "s.h5", [GOOD]).exists()


def test_too_little_room_is_noticed_before_anything_is_read(tmp_path: Path) -> None:
    read = []

    def records() -> Iterator[ImageRecord]:
        read.append(1)
        yield GOOD

    huge = {"images": 10**9, "regions": 36 * 10**9, "feature_dim": 2048}
    message = fault_of(lambda: write_store(tmp_path / "s.h5", records(), source="x", progress=False, **huge))
    assert "GB" in message
    assert "store float16" in message
    assert not read
    assert leftovers(tmp_path) == []


def test_a_page_that_fills_the_disk_is_not_told_how_to_store_features(tmp_path: Path) -> None:
    def page() -> None:
        with atomic_file(tmp_path / "report.html", overwrite=True), writing(tmp_path / "report.html"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    message = fault_of(page)
    assert "report.html: cannot be written: no space left on the disk" in message
    assert "Free some space, or choose another disk." in message
    assert leftovers(tmp_path) == []


def test_an_unknown_type_or_tokenizer(tmp_path: Path) -> None:
    assert "bfloat16" in fault_of(lambda: write(tmp_path / "s.h5", [GOOD], dtype="bfloat16"))
    assert "moses" in fault_of(lambda: write(tmp_path / "s.h5", [GOOD], tokenizer_name="moses"))
    assert leftovers(tmp_path) == []


def test_an_error_in_the_source_comes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def records() -> Iterator[ImageRecord]:
        yield GOOD
        raise OSError("the source broke")

    with pytest.raises(OSError, match="the source broke"):
        write_store(
            tmp_path / "s.h5", records(), source="x", feature_dim=4, images=2, regions=4, progress=False
        )
    assert leftovers(tmp_path) == []


def test_a_record_from_a_file_is_named_by_it(tmp_path: Path) -> None:
    place = {"where": "a.npy: row 7", "boxes_where": "b.npy: row 7"}
    options = {"feature_dim": 4, "images": 2, "regions": 4}
    for change, words in (
        ({"features": NAN}, "a.npy: row 7: image 'bad' (split train): feature 1 of region 1 is nan"),
        ({"boxes": np.full((2, 4), np.inf)}, "b.npy: row 7: image 'bad' (split train): box 0 "),
        ({"id": "good"}, "a.npy: row 7: image 'good': comes twice"),
    ):
        bad = replace(GOOD, **({"id": "bad"} | place | change))
        message = fault_of(lambda bad=bad: write(tmp_path / "s.h5", [GOOD, bad], **options))
        assert message.startswith(words)


@pytest.mark.parametrize("there", [False, True])
def test_folders_made_for_a_store_that_failed_are_removed(tmp_path: Path, there: bool) -> None:
    out = tmp_path / "a" / "b" / "s.h5"
    if there:
        out.parent.mkdir(parents=True)
    bad = replace(GOOD, features=NAN)
    fault_of(lambda: write(out, [bad]))
    assert [path.name for path in tmp_path.rglob("*")] == (["a", "b"] if there else [])
    write(out, [GOOD])
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "s.h5"]
