"""The released layout: every form it comes in, and every fault a downloaded folder can have."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from store_help import fault_of, leftovers, run_data, write_release

from scan_lightning.data.check import check_store
from scan_lightning.data.store import Store


def build(root: Path, *options: str) -> Store:
    out = root.parent / "out.h5"
    assert run_data("build", "--layout", "scan-release", "--root", root, "--out", out, *options) == 0
    assert check_store(out, progress=False) == []
    return Store(out)


def refused(root: Path, *options: str) -> str:
    message = fault_of(lambda: build(root, *options))
    out = root.parent
    assert [name for name in leftovers(out) if "out.h5" in name] == []
    return message


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "f30k_precomp"


def test_all_splits_with_boxes_and_ids(root: Path) -> None:
    features = write_release(root, {"train": 7, "dev": 3, "test": 4}, extras=True)
    store = build(root, "--dtype", "float32")
    assert store.splits == {"train": 7, "val": 3, "test": 4}
    for name, split in (("train", "train"), ("dev", "val"), ("test", "test")):
        rows = store.image_rows(split)
        np.testing.assert_array_equal(store.read_regions(rows)[0], features[name])
        assert [store.image_id(row) for row in rows] == [f"{name}-{index}.jpg" for index in range(len(rows))]
        boxes = np.load(root / f"{name}_boxes.npy")
        np.testing.assert_array_equal(np.stack([store.boxes(row) for row in rows]), boxes)
        lines = (root / f"{name}_caps.txt").read_text().splitlines()
        captions = store.caption_rows(split)
        assert store.caption_text(captions) == lines
        expected = [rows[line // 5] for line in range(len(lines))]
        assert store.caption_image[captions].tolist() == expected
    assert "f30k_precomp" in store.source


def test_without_boxes_and_ids(root: Path) -> None:
    write_release(root, {"dev": 3})
    store = build(root)
    assert store.splits == {"val": 3}
    assert [store.image_id(row) for row in range(3)] == ["dev_0", "dev_1", "dev_2"]
    assert np.isnan(store.all_boxes()).all()
    assert store.image_size(0) == (0, 0)
    assert store.feature_dtype == np.float16


def test_testall_replaces_test(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features = write_release(root, {"test": 2, "testall": 6})
    store = build(root, "--dtype", "float32")
    assert store.splits == {"test": 6}
    np.testing.assert_array_equal(store.read_regions(store.image_rows("test"))[0], features["testall"])
    assert "test_ims.npy is left out" in capsys.readouterr().out


def test_the_redundant_form_keeps_every_image_once(root: Path) -> None:
    features = write_release(root, {"train": 6, "test": 2}, extras=True)
    for ending in ("ims.npy", "boxes.npy"):
        for name in ("train", "test"):
            path = root / f"{name}_{ending}"
            np.save(path, np.repeat(np.load(path), 5, axis=0))
    for name in ("train", "test"):
        path = root / f"{name}_ids.txt"
        path.write_text("".join(line * 5 for line in path.read_text().splitlines(keepends=True)))
    store = build(root, "--dtype", "float32")
    assert store.splits == {"train": 6, "test": 2}
    np.testing.assert_array_equal(store.read_regions(store.image_rows("train"))[0], features["train"])
    assert store.image_id(3) == "train-3.jpg"
    assert np.bincount(store.caption_image).tolist() == [5] * 8


def test_a_redundant_form_that_breaks_off_is_no_redundant_form(root: Path) -> None:
    write_release(root, {"train": 4})
    rows = np.repeat(np.load(root / "train_ims.npy"), 5, axis=0)
    rows[12] += 1
    np.save(root / "train_ims.npy", rows)
    message = refused(root)
    assert "row 12 differs from row 10" in message


@pytest.mark.parametrize("captions_each", [1, 3])
def test_other_numbers_of_captions_work_and_are_noted(
    root: Path, captions_each: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(root, {"train": 10}, captions_each=captions_each)
    store = build(root)
    assert np.bincount(store.caption_image).tolist() == [captions_each] * 10
    assert f"{captions_each} captions an image" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_other_float_types_and_column_order(root: Path, dtype: str) -> None:
    features = write_release(root, {"train": 4})["train"].astype(dtype)
    np.save(root / "train_ims.npy", np.asfortranarray(features))
    store = build(root, "--dtype", "float32")
    np.testing.assert_array_equal(store.read_regions(np.arange(4))[0], features.astype(np.float32))


def test_empty_captions_are_kept_and_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_release(root, {"train": 2})
    lines = (root / "train_caps.txt").read_text().splitlines()
    lines[3] = lines[7] = "   "
    (root / "train_caps.txt").write_text("\n".join(lines))  # and no newline at the end
    store = build(root)
    assert "train_caps.txt: 2 empty captions (lines 4, 8)" in capsys.readouterr().out
    assert store.caption_text(np.array([3, 7])) == ["", ""]
    assert store.caption_words(np.array([3, 4])) == [[], ["train", "picture", "0", ",", "caption", "4", "."]]


def test_only_a_newline_ends_a_caption(root: Path) -> None:
    write_release(root, {"train": 1})
    texts = ["a\u2028b", "c\u0085d", "e\x0cf", "g\rh", "i \u00e9\u4e2d\U0001f600"]
    (root / "train_caps.txt").write_bytes(("\ufeff" + "\r\n".join(texts) + "\r\n").encode())
    assert build(root).caption_text(np.arange(5)) == texts


def _no_folder(root: Path) -> None:
    pass


def _empty_folder(root: Path) -> None:
    root.mkdir()


def _parent_folder(root: Path) -> None:
    write_release(root / "f30k_precomp", {"train": 2})


def _changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        write_release(root, {"train": 4, "dev": 2}, extras=True)
        np.save(root / name, change(np.load(root / name)))

    return prepare


def _nan(features: np.ndarray) -> np.ndarray:
    features[2, 1, 5] = np.nan
    return features


def _removed(name: str) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        write_release(root, {"train": 4, "dev": 2}, extras=True)
        (root / name).unlink()

    return prepare


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        write_release(root, {"train": 4, "dev": 2}, extras=True)
        (root / name).write_bytes(change((root / name).read_bytes()))

    return prepare


FAULTS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "no folder": (_no_folder, ["no such folder"]),
    "empty folder": (_empty_folder, ["holds no split", "_ims.npy", "kuanghueilee/scan-features"]),
    "the folder above": (_parent_folder, ["Did you mean", "f30k_precomp/f30k_precomp"]),
    "features without captions": (_removed("dev_caps.txt"), ["dev_caps.txt: is missing", "dev_ims.npy"]),
    "captions without features": (_removed("dev_ims.npy"), ["dev_ims.npy: is missing", "dev_caps.txt"]),
    "rank": (_changed("dev_ims.npy", lambda a: a[0]), ["dev_ims.npy", "(3, 8)", "(images, regions, width)"]),
    "no images": (_changed("dev_ims.npy", lambda a: a[:0]), ["dev_ims.npy", "(0, 3, 8)"]),
    "width": (_changed("dev_ims.npy", lambda a: a[..., :5]), ["dev_ims.npy", "5 wide", "8"]),
    "integers": (_changed("dev_ims.npy", lambda a: a.astype(int)), ["dev_ims.npy", "int64", "float32"]),
    "NaN": (
        _changed("train_ims.npy", _nan),
        ["train_ims.npy: row 2: image 'train-2.jpg' (split train): feature 5 of region 1 is nan", "1 of 24"],
    ),
    "npy cut": (_bytes("train_ims.npy", lambda b: b[:-7]), ["train_ims.npy", "cut short", "505", "512"]),
    "npy header cut": (_bytes("train_ims.npy", lambda b: b[:40]), ["train_ims.npy", "header is damaged"]),
    "empty npy": (_bytes("train_ims.npy", lambda b: b""), ["train_ims.npy", "not an .npy file"]),
    "no npy": (_bytes("train_ims.npy", lambda b: b"PK" + b), ["train_ims.npy", "not an .npy file"]),
    "a caption less": (
        _bytes("dev_caps.txt", lambda b: b[: b.rindex(b"dev")]),
        ["dev_caps.txt", "9 captions", "2 images", "10 in the released form"],
    ),
    "a line more": (_bytes("dev_caps.txt", lambda b: b + b"\n"), ["11 captions", "last line is empty"]),
    "npy too long": (
        _bytes("train_ims.npy", lambda b: b + b"0"),
        ["is too long: 513", "512"],
    ),
    "no captions": (_bytes("dev_caps.txt", lambda b: b""), ["dev_caps.txt", "0 captions"]),
    "latin-1": (
        _bytes("dev_caps.txt", lambda b: b.replace(b"picture 1", b"caf\xe9", 1)),
        ["dev_caps.txt: line 6 is not UTF-8", "0xe9", "iconv"],
    ),
    "zero byte": (_bytes("dev_caps.txt", lambda b: b.replace(b"picture", b"\0", 1)), ["line 1", "zero byte"]),
    "boxes rank": (_changed("dev_boxes.npy", lambda a: a[0]), ["dev_boxes.npy", "(3, 4)"]),
    "boxes rows": (_changed("dev_boxes.npy", lambda a: a[:1]), ["dev_boxes.npy", "(1, 3, 4)", "(2, 3, 4)"]),
    "boxes swapped": (
        _changed("dev_boxes.npy", lambda a: a[..., ::-1]),
        ["dev_boxes.npy: row 0: image 'dev-0.jpg' (split val): box 0"],
    ),
    "an id less": (
        _bytes("dev_ids.txt", lambda b: b[: b.rindex(b"dev")]),
        ["dev_ids.txt", "1 ids", "2 images"],
    ),
    "an empty id": (_bytes("dev_ids.txt", lambda b: b"\n" + b[b.index(b"\n") + 1 :]), ["line 1 is empty"]),
    "an id twice": (
        _bytes("train_ids.txt", lambda b: b.replace(b"train-3", b"train-1")),
        ["train_ids.txt", "line 4", "'train-1.jpg'", "line 2"],
    ),
    "an id in two splits": (
        _bytes("dev_ids.txt", lambda b: b.replace(b"dev-1", b"train-1")),
        ["dev_ids.txt", "line 2", "'train-1.jpg'", "train_ids.txt"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_message_and_leaves_nothing(root: Path, fault: str) -> None:
    prepare, words = FAULTS[fault]
    prepare(root)
    message = refused(root)
    assert str(root) in message or "image '" in message
    assert all(word in message for word in words), message


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (os.environ["SCAN_TEST_BOMB"],)


@pytest.mark.parametrize("name", ["dev_ims.npy", "dev_boxes.npy"])
def test_a_malicious_npy_is_never_unpickled(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SCAN_TEST_BOMB", str(tmp_path / "exploded"))
    write_release(root, {"dev": 2}, extras=True)
    np.save(root / name, np.array([[[_Bomb()]]], dtype=object), allow_pickle=True)
    assert "pickled Python objects" in refused(root)
    assert not (tmp_path / "exploded").exists()
    np.load(root / name, allow_pickle=True)  # the bomb works where it is unpickled
    assert (tmp_path / "exploded").exists()


def test_an_existing_store_is_kept_without_overwrite(root: Path) -> None:
    write_release(root, {"dev": 2})
    out = build(root).path
    before = out.read_bytes()
    assert "--overwrite" in fault_of(lambda: build(root))
    assert out.read_bytes() == before
    write_release(root, {"dev": 3})
    assert build(root, "--overwrite").splits == {"val": 3}


def test_a_split_of_another_name_is_not_left_out_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(tmp_path / "own", {"train": 2, "val": 2})
    assert build(tmp_path / "own").splits == {"train": 2}
    note = "val_ims.npy is left out: the splits are train, dev, test, testall"
    assert f"note: {note}" in capsys.readouterr().out
    assert run_data("check", "--layout", "scan-release", tmp_path / "own") == 0
    assert f"note         {note}" in capsys.readouterr().out


def test_the_first_of_several_faults_says_how_to_see_them_all(root: Path) -> None:
    write_release(root, {"train": 4, "dev": 2, "test": 2})
    (root / "dev_caps.txt").unlink()
    (root / "test_ims.npy").write_bytes(b"")
    np.save(root / "train_ims.npy", np.zeros((4, 3)))
    message = refused(root)
    assert message.startswith(f"{root}/train_ims.npy: has shape (4, 3)")
    assert f"(2 more problems: scan-lightning data check --layout scan-release {root})" in message


@pytest.mark.real_data
def test_flickr8k_in_the_released_layout(tmp_path: Path, real_data_dir: Path) -> None:
    import subprocess
    import sys

    root = tmp_path / "f8k"
    command = [sys.executable, real_data_dir / "unpack.py", root, "--images", "40", "--dims", "16"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    store = build(root, "--dtype", "float32")
    assert store.splits == {"train": 40, "val": 40, "test": 40}
    features = np.load(root / "test_ims.npy")
    np.testing.assert_array_equal(store.read_regions(store.image_rows("test"))[0], features)
    assert store.image_id(0) == (root / "train_ids.txt").read_text().split("\n")[0]
    assert np.isfinite(store.all_boxes()).all()
