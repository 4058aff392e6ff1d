"""Features in the shapes and under the names that extractors give them."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import fault_of, run_data, write_release

from scan_lightning.data.check import check_store
from scan_lightning.data.store import Store

RNG = np.random.default_rng(0)
ONE, TWO = (RNG.standard_normal((4, 6)).astype(np.float32) for _ in range(2))
BOXES = np.array([[0, 0, 9, 9]] * 4, np.float32) + np.arange(4, dtype=np.float32)[:, None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    captions = [
        {"image": f"{name}.jpg", "caption": f"picture {name}", "split": "test"} for name in ("1", "2")
    ]
    (root / "c.json").write_text(json.dumps(captions))
    return root


def build(layout: str, root: Path, *options: str) -> Store:
    out = root.parent / "s.h5"
    run_data(
        "build",
        "--layout",
        layout,
        "--root",
        root,
        "--out",
        out,
        "--dtype",
        "float32",
        "--overwrite",
        *options,
    )
    return Store(out)


def holds(store: Store, *tables: np.ndarray) -> None:
    features, counts = store.read_regions(np.arange(len(tables)))
    assert store.image_ids == [f"{row + 1}.jpg" for row in range(len(tables))]
    for row, table in enumerate(tables):
        np.testing.assert_array_equal(features[row, : counts[row]], table)


@pytest.mark.parametrize("key", ["image_features", "feat", "x", "arr_0", "features"])
@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (2, 2, 6), (1, 2, 2, 6)])
def test_npz_under_any_key_in_any_shape(root: Path, key: str, shape: tuple[int, ...]) -> None:
    for name, table in (("1", ONE), ("2", TWO)):
        np.savez(root / f"{name}.npz", **{key: table.reshape(shape)})
    holds(build("npz-folder", root), ONE, TWO)


@pytest.mark.parametrize("shape", [(4, 6), (2, 2, 6)])
def test_npy_files_and_hdf5_with_a_dataset_or_a_group_an_image(root: Path, shape: tuple[int, ...]) -> None:
    for name, table in (("1", ONE), ("2", TWO)):
        np.save(root / f"{name}.npy", table.reshape(shape))
    holds(build("npz-folder", root), ONE, TWO)
    with h5py.File(root / "a.h5", "w") as file:
        file["1.jpg"], file["2.jpg"] = ONE.reshape(shape), TWO.reshape(shape)
    holds(build("hdf5-vqa", root), ONE, TWO)
    with h5py.File(root / "a.h5", "w") as file:
        for name, table in (("1", ONE), ("2", TWO)):
            file[f"{name}/features"], file[f"{name}/bbox"], file[f"{name}/num_boxes"] = table, BOXES, 3
    store = build("hdf5-vqa", root)
    holds(store, ONE[:3], TWO[:3])
    np.testing.assert_array_equal(store.boxes(1), BOXES[:3])


def test_a_message_shows_five_names_and_a_count(root: Path) -> None:
    with h5py.File(root / "a.h5", "w") as file:
        for row in range(2000):
            file[f"image{row:05}"] = 3
    message = fault_of(lambda: build("hdf5-vqa", root))
    assert (
        "holds image00000, image00001, image00002, image00003, image00004, ... (2,000); expected" in message
    )


def test_a_dump_that_points_to_other_files_is_refused(root: Path) -> None:
    with h5py.File(root.parent / "other.h5", "w") as file:
        file["x"] = np.stack([ONE, TWO])
    with h5py.File(root / "a.h5", "w") as file:
        file["features"], file["ids"] = h5py.ExternalLink("../other.h5", "x"), [1, 2]
    assert "features lies behind an external link" in fault_of(lambda: build("hdf5-vqa", root))


@pytest.mark.parametrize("key", ["num_boxes", "num_bbox"])
def test_padded_rows_are_left_out_and_unread_arrays_named_once(
    root: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, table in (("1", ONE), ("2", TWO)):
        np.savez(root / f"{name}.npz", x=table, bbox=BOXES, objects_id=np.ones(4), **{key: 2})
    store = build("npz-folder", root)
    holds(store, ONE[:2], TWO[:2])
    np.testing.assert_array_equal(store.boxes(0), BOXES[:2])
    assert capsys.readouterr().out.count("not read: objects_id.") == 1
    np.savez(root / "1.npz", x=ONE, **{key: 5})
    assert "num_boxes is 5; expected 1 to 4" in fault_of(lambda: build("npz-folder", root))


def test_links_to_folders_are_followed_and_loops_once(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    np.savez(elsewhere / "1.npz", x=ONE)
    np.savez(root / "2.npz", x=TWO)
    (root / "a").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(root)
    store = build("npz-folder", root)
    assert sorted(store.image_ids) == ["1.jpg", "2.jpg"]


def test_a_build_that_loses_a_split_is_refused(root: Path) -> None:
    captions = json.loads((root / "c.json").read_text())
    captions[0]["split"] = "train"
    (root / "c.json").write_text(json.dumps(captions))
    np.savez(root / "2.npz", x=TWO)
    message = fault_of(lambda: build("npz-folder", root))
    assert "none of the 1 images of split train" in message
    assert "give --splits test" in message
    assert build("npz-folder", root, "--splits", "test").splits == {"test": 1}


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("size", [0, 640])
def test_boxes_between_0_and_1_are_scaled_when_all_are(
    root: Path, pixels: bool, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = np.array([[0, 0, 0.5, 1.0005], [0.25, 0.5, 1, 1], [0, 0, 0.1, 0.1], [np.nan] * 4], np.float32)
    for name, table in (("1", ONE), ("2", TWO)):
        own = boxes * (100 if pixels and name == "2" else 1)
        np.savez(root / f"{name}.npz", x=table, bbox=own, img_w=size, img_h=size * 3 // 4)
    store = build("npz-folder", root)
    assert ("all boxes lie between 0 and 1" in capsys.readouterr().out) == (not pixels)
    expected = np.clip(boxes, 0, 1) * (np.array([640, 480] * 2, np.float32) if size else np.nan)
    np.testing.assert_array_equal(store.boxes(0), boxes if pixels else expected)
    assert check_store(store.path, progress=False) == []


# -- tables


def _cell(array: np.ndarray, python3: bool = False) -> str:
    text = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return f"b'{text}'" if python3 else text


def _line(name: str, table: np.ndarray, python3: bool = False) -> str:
    return "\t".join([name, "64", "48", "4", _cell(BOXES, python3), _cell(table, python3)])


def test_cells_of_python_3(root: Path) -> None:
    (root / "x.tsv").write_text("\n".join([_line("1", ONE, True), _line("2", TWO, True)]))
    holds(build("bottom-up-tsv", root), ONE, TWO)


def test_the_columns_of_lxmert(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf"]
    names = [*short, "num_boxes", "boxes", "features"]
    extra = [_cell(np.zeros(4))] * 4
    lines = [
        "\t".join([f"COCO_val2014_00000000000{name}", "48", "64", *extra, "4", _cell(BOXES), _cell(table)])
        for name, table in (("1", ONE), ("2", TWO))
    ]
    (root / "x.tsv").write_text("\n".join(["\t".join(names), *lines]) + "\n")
    store = build("bottom-up-tsv", root)
    holds(store, ONE, TWO)
    assert store.image_size(0) == (64, 48)
    assert "not read: attrs_conf, attrs_id, objects_conf, objects_id." in capsys.readouterr().out


COPIES: dict[str, tuple[Callable[[str, str], list[str]], str]] = {
    "equal": (lambda one, two: [one, two, one, one], "2 rows repeat an image"),
    "damaged first": (lambda one, two: [one[:-9], two, one], "1 rows repeat an image or are damaged"),
    "damaged last, cut": (lambda one, two: [one, two, one[:-9]], "1 rows repeat"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_row_that_comes_twice(root: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines, note = COPIES[kind]
    (root / "x.tsv").write_text("\n".join(lines(_line("1", ONE), _line("2", TWO))))
    store = build("bottom-up-tsv", root)
    found = dict(zip(store.image_ids, store.read_regions(np.arange(2))[0], strict=True))
    np.testing.assert_array_equal(found["1.jpg"], ONE)
    np.testing.assert_array_equal(found["2.jpg"], TWO)
    assert note in capsys.readouterr().out


def test_a_row_that_comes_twice_with_different_features(root: Path) -> None:
    (root / "x.tsv").write_text("\n".join([_line("1", ONE), _line("2", TWO), _line("01", TWO)]))
    message = fault_of(lambda: build("bottom-up-tsv", root))
    assert "x.tsv: line 3: image '01' comes twice with different features (first " in message
    assert "x.tsv: line 1)" in message


def test_a_header_that_breaks_off_is_no_npy_file(root: Path) -> None:
    np.save(root / "1.npy", ONE)
    raw = (root / "1.npy").read_bytes()
    (root / "1.npy").write_bytes(raw.replace(b"6), }", b"6 , }"))
    assert "1.npy: is not an .npy file or its header is damaged" in fault_of(
        lambda: build("npz-folder", root)
    )


def test_a_pipe_among_the_features_is_refused(root: Path) -> None:
    os.mkfifo(root / "1.npz")
    assert "1.npz: is a pipe" in fault_of(lambda: build("npz-folder", root))


# -- data check


def test_check_names_every_image_that_cannot_be_stored(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captions = [{"image": f"{name}.jpg", "caption": "x", "split": "test"} for name in "123"]
    (root / "c.json").write_text(json.dumps(captions))
    for name, table, boxes in (("1", ONE * np.nan, BOXES), ("2", TWO, BOXES), ("3", TWO, BOXES[:, ::-1])):
        np.savez(root / f"{name}.npz", x=table, bbox=boxes)
        (root / f"{name}.tsv").write_text(
            _line(name, table).replace("\t64\t", "\t6\t" if name == "3" else "\t64\t")
        )
        with h5py.File(root / f"{name}.h5", "w") as file:
            file["features"], file["boxes"], file["ids"] = table[None], boxes[None], [name]
    for layout, ending in (("npz-folder", ".npz"), ("bottom-up-tsv", ".tsv"), ("hdf5-vqa", ".h5")):
        assert run_data("check", "--layout", layout, root, "--captions", root / "c.json") == 2
        error = capsys.readouterr().err
        assert f"1{ending}" in error
        assert f"3{ending}" in error
        assert f"2{ending}" not in error
        assert "2 problems" in error
        (root / f"1{ending}").unlink()
        (root / f"3{ending}").unlink()
        assert run_data("check", "--layout", layout, root, "--captions", root / "c.json") == 0
        assert "no problem (1 images in" in capsys.readouterr().out


# -- the released layout with the names of the pictures


def test_released_features_get_the_names_of_their_pictures(tmp_path: Path) -> None:
    root = tmp_path / "f30k_precomp"
    write_release(root, {"train": 3, "test": 2})
    images = [
        {
            "filename": f"{split}-{row}.jpg",
            "split": split,
            "sentences": [{"raw": f"{split.title()} picture {row}, caption {c}!"} for c in range(5)],
        }
        for split, count in (("test", 2), ("val", 1), ("train", 3))
        for row in reversed(range(count))
    ]
    captions = tmp_path / "dataset_flickr30k.json"
    captions.write_text(json.dumps({"images": images}))
    store = build("scan-release", root, "--captions", str(captions))
    assert store.image_ids == ["train-0.jpg", "train-1.jpg", "train-2.jpg", "test-0.jpg", "test-1.jpg"]
    images[-1]["sentences"] = [{"raw": "another"}] * 5
    captions.write_text(json.dumps({"images": images}))
    message = fault_of(lambda: build("scan-release", root, "--captions", str(captions)))
    assert "train_caps.txt: the captions from line 1 on are of no one picture" in message
