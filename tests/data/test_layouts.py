"""The foreign layouts: written here byte by byte as their makers write them, read back through a store."""

import base64
import importlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import fault_of, leftovers, run_data, write_release

from scan_lightning.data.check import check_store
from scan_lightning.data.header import refuse_other_file
from scan_lightning.data.layouts.sources import LAYOUTS
from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError

DIM = 6


class Images:
    """Six pictures: two of train, one restval, two of val, one of test; 36 or fewer regions each."""

    def __init__(self, adaptive: bool = True) -> None:
        rng = np.random.default_rng(0)
        self.splits = ["train", "train", "restval", "val", "val", "test"]
        self.numbers = [391895, 42, 7, 522418, 100, 9]
        self.names = [f"COCO_val2014_{number:012}.jpg" for number in self.numbers]
        self.counts = [10, 3, 5, 1, 7, 4] if adaptive else [4] * 6
        self.features = [rng.standard_normal((count, DIM)).astype(np.float32) for count in self.counts]
        corners = [rng.uniform(0, 200, (count, 2)) for count in self.counts]
        self.boxes = [np.concatenate([corner, corner + 100], axis=1).astype(np.float32) for corner in corners]
        self.captions = [
            [f"picture {row} caption {index} ." for index in range(5 + row % 2)] for row in range(6)
        ]

    def karpathy(self, path: Path) -> None:
        images = [
            {
                "filepath": "val2014",
                "filename": name,
                "cocoid": number,
                "imgid": row,
                "split": split,
                "sentences": [{"tokens": text.split(), "raw": text + "\n", "sentid": 1} for text in captions],
            }
            for row, (name, number, split, captions) in enumerate(
                zip(self.names, self.numbers, self.splits, self.captions, strict=True)
            )
        ]
        path.write_text(json.dumps({"dataset": "coco", "images": images}))

    def line(self, row: int) -> str:
        fields = [self.numbers[row], 640, 480, self.counts[row]]
        packed = [base64.b64encode(part.tobytes()).decode() for part in (self.boxes[row], self.features[row])]
        return "\t".join([*map(str, fields), *packed])

    def expect(self, store: Store, order: list[int], *, boxes: bool = True, sizes: bool = True) -> None:
        """The store holds the pictures `order`, in this order."""
        assert check_store(store.path, progress=False) == []
        assert store.image_ids == [self.names[row] for row in order]
        found, counts = store.read_regions(np.arange(len(order)))
        split_of = {"restval": "train"}
        for index, row in enumerate(order):
            np.testing.assert_array_equal(found[index, : counts[index]], self.features[row])
            if boxes:
                np.testing.assert_array_equal(store.boxes(index), self.boxes[row])
            else:
                assert np.isnan(store.boxes(index)).all()
            assert store.image_size(index) == ((640, 480) if sizes else (0, 0))
            assert index in store.image_rows(split_of.get(self.splits[row], self.splits[row]))
            captions = np.flatnonzero(store.caption_image == index)
            assert store.caption_text(captions) == self.captions[row]


def build(layout: str, root: Path, *options: str | Path) -> Store:
    out = root.parent / "out" / "s.h5"
    out.parent.mkdir(exist_ok=True)
    command = ["build", "--layout", layout, "--root", root, "--out", out, "--dtype", "float32", *options]
    try:
        run_data(*command)
    except ScanError as error:  # most tests write features of some splits only, and follow the advice
        if not (advice := re.search(r"would lose the split.*give (--splits [a-z ]+)", str(error))):
            raise
        run_data(*command, *advice[1].split())
    return Store(out)


def refused(layout: str, root: Path, *options: str | Path) -> str:
    message = fault_of(lambda: build(layout, root, *options))
    assert leftovers(root.parent / "out") == []
    return message


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


# -- bottom-up-tsv


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("adaptive", [True, False])
def test_tsv_in_several_shards(root: Path, end: str, adaptive: bool) -> None:
    images = Images(adaptive)
    images.karpathy(root / "dataset_coco.json")
    for shard, rows in enumerate([[5, 0], [3], [1, 2, 4]]):
        text = end.join(images.line(row) for row in rows) + (
            end if shard else ""
        )  # the first without newline
        (root / f"trainval.tsv.{shard}").write_text(text, newline="")
    images.expect(build("bottom-up-tsv", root), [5, 0, 3, 1, 2, 4])


def test_tsv_with_column_names_empty_lines_and_captions_elsewhere(root: Path, tmp_path: Path) -> None:
    images = Images()
    images.karpathy(tmp_path / "captions.json")
    head = "image_id\timage_w\timage_h\tnum_boxes\tboxes\tfeatures"
    (root / "x.tsv").write_text("\n".join([head, images.line(2), "", images.line(4)]) + "\n\n")
    images.expect(build("bottom-up-tsv", root, "--captions", tmp_path / "captions.json"), [2, 4])
    images.expect(
        build("bottom-up-tsv", root / "x.tsv", "--captions", tmp_path / "captions.json", "--overwrite"),
        [2, 4],
    )


def test_tsv_with_caption_files(root: Path) -> None:
    images = Images()
    (root / "x.tsv").write_text("".join(images.line(row) + "\n" for row in (3, 5, 0)))
    for name, rows in (("dev", [0, 3]), ("test", [5])):
        (root / f"{name}_ids.txt").write_text("".join(f"{images.numbers[row]}\n" for row in rows))
        lines = [f"{images.numbers[row]} says {index}" for row in rows for index in range(3)]
        (root / f"{name}_caps.txt").write_text("".join(f"{line}\n" for line in lines))
    store = build("bottom-up-tsv", root)
    assert store.splits == {"val": 2, "test": 1}
    assert store.image_ids == ["522418", "9", "391895"]
    assert store.caption_text(np.array([0, 3, 8])) == ["522418 says 0", "9 says 0", "391895 says 2"]


def test_images_without_captions_and_captions_without_images_are_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    stranger = images.line(0).replace("391895", "555")
    (root / "x.tsv").write_text("\n".join([images.line(1), stranger, images.line(3)]))
    images.expect(build("bottom-up-tsv", root), [1, 3])
    text = capsys.readouterr().out
    assert "1 images have features but no captions: left out." in text
    assert "3 captioned images have no features here: left out (train 2, val 1)." in text


TSV_FAULTS: dict[str, tuple[Callable[[list[str]], str], list[str]]] = {
    "no tabs": (lambda lines: lines[0] + "\nhello\n", ["x.tsv: line 2", "'hello", "num_boxes"]),
    "five columns": (
        lambda lines: "\n".join([lines[0], lines[1].rsplit("\t", 1)[0], ""]),
        ["line 2", "columns"],
    ),
    "no number": (lambda lines: lines[0].replace("\t640\t", "\twide\t"), ["line 1", "image_w"]),
    "no boxes": (lambda lines: lines[0].replace("\t10\t", "\t0\t"), ["line 1", "num_boxes"]),
    "cut short": (lambda lines: "\n".join(lines)[:-9], ["line 6", "cut short"]),
    "no base64": (
        lambda lines: "\n".join([lines[0], lines[1][:-8] + "!!!!!!!!"]),
        ["line 2", "'42'", "base64"],
    ),
    "boxes missing": (
        lambda lines: "\n".join([lines[0], lines[1].replace("\t3\t", "\t2\t")]),
        ["line 2", "'42'", "boxes decode to 48 bytes", "32 for 2 boxes"],
    ),
    "twice": (
        lambda lines: "\n".join([*lines, lines[2].replace("\t640\t", "\t641\t")]),
        ["line 7", "'7' comes twice", "line 3"],
    ),
}


@pytest.mark.parametrize("fault", TSV_FAULTS)
def test_a_faulty_tsv_is_named_by_line(root: Path, fault: str) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    change, words = TSV_FAULTS[fault]
    (root / "x.tsv").write_text(change([images.line(row) for row in range(6)]))
    message = refused("bottom-up-tsv", root)
    assert all(word in message for word in words), message


def test_tsv_lines_of_another_width(root: Path) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    images.features[1] = images.features[1][:, :5].copy()
    (root / "x.tsv").write_text("\n".join(images.line(row) for row in range(6)))
    message = refused("bottom-up-tsv", root)
    assert "line 2" in message
    assert "features decode to 60 bytes; expected 72 for 3 boxes of 6" in message


# -- npz-folder


def _npz(root: Path, images: Images, row: int, stem: str, **changes: object) -> Path:
    arrays: dict[str, object] = {"features": images.features[row], "boxes": images.boxes[row]}
    arrays |= {"image_w": 640, "image_h": 480} | changes
    path = root / f"{stem}.npz"
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_npz_files_by_name_and_in_folders(root: Path) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    (root / "a").mkdir()
    _npz(root / "a", images, 4, f"{images.numbers[4]:012}")
    _npz(
        root,
        images,
        1,
        images.names[1].removesuffix(".jpg"),
        x=images.features[1],
        features=None,
        bbox=images.boxes[1],
        boxes=None,
    )
    np.savez_compressed(
        root / "7.npz", feat=images.features[2], boxes=images.boxes[2], width=[640], height=[480]
    )
    _npz(root, images, 0, "unknown")
    images.expect(build("npz-folder", root), [2, 1, 4])


def test_npz_without_boxes_and_sizes(root: Path) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    _npz(root, images, 0, "391895", boxes=None, image_w=None, image_h=None)
    images.expect(build("npz-folder", root), [0], boxes=False, sizes=False)


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (os.environ["SCAN_TEST_BOMB"],)


@pytest.mark.parametrize("name", ["features", "boxes", "image_w"])
def test_a_malicious_npz_is_never_unpickled(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bomb = tmp_path / "exploded"
    monkeypatch.setenv("SCAN_TEST_BOMB", str(bomb))
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    path = _npz(root, images, 0, "391895", **{name: np.array([[_Bomb()]], dtype=object)})
    assert "pickled Python objects" in refused("npz-folder", root)
    assert not bomb.exists()
    assert np.load(path, allow_pickle=True)[name] is not None
    assert bomb.exists()  # the bomb works where it is unpickled


def test_an_object_that_nobody_needs_stays_unread(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCAN_TEST_BOMB", str(tmp_path / "exploded"))
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    _npz(root, images, 0, "391895", info=np.array(_Bomb(), dtype=object))
    images.expect(build("npz-folder", root), [0])
    assert not (tmp_path / "exploded").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"boxes.npy") + 200] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("changes", "damage", "words"),
    [
        ({"features": None}, None, ["holds boxes, image_h, image_w", "features, image_features"]),
        ({"features": np.ones(6, np.float32)}, None, ["(6,)", "(regions, width)"]),
        ({"features": np.ones((0, 6), np.float32)}, None, ["(0, 6)"]),
        ({"features": np.ones((3, 6), int)}, None, ["int64"]),
        ({"features": np.ones((3, 7), np.float32)}, None, ["7 wide", "before 6"]),
        ({"boxes": np.ones((2, 4), np.float32)}, None, ["(2, 4)", "(3, 4)"]),
        ({"image_w": np.array("wide")}, None, ["'wide'", "one number of pixels"]),
        ({"image_w": np.array([])}, None, ["[]", "one number of pixels"]),
        ({"image_h": np.array(np.nan)}, None, ["nan", "one number of pixels"]),
        ({"image_h": np.array(-2)}, None, ["640 x -2 pixels"]),
        ({"image_h": np.array(1 << 40)}, None, ["pixels; expected sizes from 0"]),
        ({}, _cut, ["cut short"]),
        ({}, _flip, ["boxes is damaged"]),
    ],
)
def test_a_faulty_npz_is_named(
    root: Path, changes: dict[str, object], damage: Callable[[Path], None] | None, words: list[str]
) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    _npz(root, images, 0, "391895")
    path = _npz(root, images, 1, "42", **changes)
    if damage:
        damage(path)
    message = refused("npz-folder", root)
    assert "42" in message
    assert all(word in message for word in words), message


# -- hdf5-vqa


def _adaptive(root: Path, images: Images, rows: list[int], offsets: bool) -> Path:
    path = root / "train.hdf5"
    bounds = np.cumsum([0] + [images.counts[row] for row in rows])
    with h5py.File(path, "w") as file:
        file["image_features"] = np.concatenate([images.features[row] for row in rows])
        file["image_bb"] = np.concatenate([images.boxes[row] for row in rows])
        file["spatial_features"] = np.zeros((bounds[-1], 6), np.float32)
        if offsets:
            file["offsets"] = bounds
        else:
            file["pos_boxes"] = np.stack([bounds[:-1], bounds[1:]], axis=1).astype(np.int32)
        file["image_w"], file["image_h"] = np.full(len(rows), 640), np.full((len(rows), 1), 480)
        file["ids"] = np.array([images.numbers[row] for row in rows])
    return path


@pytest.mark.parametrize("offsets", [False, True])
def test_hdf5_adaptive(root: Path, offsets: bool) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    _adaptive(root, images, [3, 0, 5], offsets)
    images.expect(build("hdf5-vqa", root), [3, 0, 5])


@pytest.mark.parametrize("turned", [False, True])
def test_hdf5_fixed_with_ids_beside_and_strings(root: Path, turned: bool) -> None:
    images = Images(adaptive=False)
    images.karpathy(root / "dataset_coco.json")
    axes = (0, 2, 1) if turned else (0, 1, 2)
    with h5py.File(root / "a.h5", "w") as file:
        file["features"] = np.stack(images.features[:3]).transpose(axes)
        file["boxes"] = np.stack(images.boxes[:3]).transpose(axes)
    (root / "a_ids.txt").write_text("".join(f"{number}\n" for number in images.numbers[:3]))
    with h5py.File(root / "b.hdf5", "w") as file:
        file["features"] = np.stack(images.features[3:])
        file["image_ids"] = images.names[3:]
    store = build("hdf5-vqa", root)
    assert store.image_ids == images.names
    assert np.isnan(store.boxes(4)).all()
    np.testing.assert_array_equal(store.boxes(1), images.boxes[1])
    np.testing.assert_array_equal(store.read_regions(np.arange(6))[0], np.stack(images.features))


def test_hdf5_padded_with_counts(root: Path) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    padded = np.zeros((6, 12, DIM), np.float32)
    for row, features in enumerate(images.features):
        padded[row, : len(features)] = features
    with h5py.File(root / "a.h5", "w") as file:
        file["features"], file["ids"] = padded, images.numbers
        file["num_boxes"] = np.array(images.counts, dtype=np.float32)
    images.expect(build("hdf5-vqa", root), list(range(6)), boxes=False, sizes=False)


def _edit(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_features", None, ["expected one of features, image_features"]),
        ("image_features", np.ones(4, np.float32), ["(4,)"]),
        ("image_features", np.ones((15, 6), np.int32), ["int32"]),
        ("image_bb", np.ones((14, 4), np.float32), ["(14, 4)", "does not fit"]),
        ("pos_boxes", None, ["pos_boxes", "offsets"]),
        ("pos_boxes", np.array([[0, 1], [1, 11], [11, 99]]), ["image 2", "15"]),
        ("pos_boxes", np.array([[0, 1], [1, 1], [11, 15]]), ["image 1"]),
        ("ids", None, ["train_ids.txt", "never read"]),
        ("ids", np.arange(2), ["2 ids for 3 images"]),
        ("image_w", np.ones(2), ["image_w or img_w or width or widths is (2,)", "(3,)"]),
        ("image_w", np.full(3, np.nan), ["image_w holds NaN"]),
        ("image_w", np.full(3, -1), ["train.hdf5: row 0", "-1 x 480 pixels; expected sizes from 0"]),
        ("image_w", np.float32(3), ["image_w cannot be read"]),
        ("ids", np.arange(900, 903), ["none of its 3 images", "'900'", "'COCO_val2014_000000391895.jpg'"]),
    ],
)
def test_a_faulty_dump_is_named(root: Path, name: str, value: object, words: list[str]) -> None:
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    path = _adaptive(root, images, [3, 0, 5], offsets=False)
    _edit(path, name, value)
    message = refused("hdf5-vqa", root)
    assert all(word in message for word in words), message


def test_a_pickled_index_beside_a_dump_is_never_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCAN_TEST_BOMB", str(tmp_path / "exploded"))
    images = Images()
    images.karpathy(root / "dataset_coco.json")
    _edit(_adaptive(root, images, [0], offsets=False), "ids", None)
    (root / "train_imgid2idx.pkl").write_bytes(pickle.dumps(_Bomb()))
    assert "never read" in refused("hdf5-vqa", root)
    assert not (tmp_path / "exploded").exists()


# -- captions and the command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["dataset_coco.json", "is not JSON"]),
        ('{"annotations": []}', ["no captioned image"]),
        ('{"images": []}', ["no captioned image"]),
        (
            '{"images": [{"filename": "a.jpg", "split": "holdout", "sentences": [{"raw": "x"}]}]}',
            ["'holdout'", "restval"],
        ),
        ('{"images": [{"filename": "a.jpg", "split": "test", "sentences": []}]}', ["'a.jpg'", "no sentence"]),
        (
            '{"images": [{"filename": "a.jpg", "split": "test"}]}',
            ["image 'a.jpg' has no captions (sentences)", "'filename', 'split'"],
        ),
    ],
)
def test_faulty_karpathy_files(root: Path, text: str, words: list[str]) -> None:
    (root / "x.tsv").write_text(Images().line(0))
    (root / "dataset_coco.json").write_text(text)
    message = refused("bottom-up-tsv", root)
    assert all(word in message for word in words), message


def test_captions_that_are_missing_doubled_or_uneven(root: Path, tmp_path: Path) -> None:
    images = Images()
    (root / "x.tsv").write_text(images.line(0))
    assert "holds no captions" in refused("bottom-up-tsv", root)
    assert "no such file" in refused("bottom-up-tsv", root, "--captions", tmp_path / "none.json")
    (root / "test_ids.txt").write_text("391895\n42\n")
    assert "test_caps.txt: is missing" in refused("bottom-up-tsv", root)
    (root / "test_caps.txt").write_text("a\nb\nc\n")
    assert "3 captions for the 2 images" in refused("bottom-up-tsv", root)
    for name in ("a", "b"):
        images.karpathy(root / f"dataset_{name}.json")
    assert "several caption files (dataset_a.json, dataset_b.json)" in refused("bottom-up-tsv", root)


def test_an_id_that_fits_two_images(root: Path) -> None:
    images = Images()
    images.names[1] = "COCO_train2014_000000391895.jpg"
    images.numbers[1] = 391895
    images.karpathy(root / "dataset_coco.json")
    images.numbers[1] = 42
    (root / "x.tsv").write_text(images.line(0))
    assert "fits several" in refused("bottom-up-tsv", root)


@pytest.mark.parametrize("layout", ["bottom-up-tsv", "npz-folder", "hdf5-vqa"])
def test_an_empty_folder(root: Path, layout: str) -> None:
    assert "Give the folder" in refused(layout, root)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_folder_is_not_an_empty_one(root: Path, layout: str) -> None:
    message = refused(layout, root / "none")
    assert message.startswith(f"{root / 'none'}: there is no such folder.")


def test_a_folder_where_a_file_should_be(root: Path) -> None:
    Images().karpathy(root / "dataset_coco.json")
    for layout, name in (("bottom-up-tsv", "x.tsv"), ("npz-folder", "42.npz"), ("hdf5-vqa", "x.h5")):
        (root / name).mkdir()
        message = refused(layout, root)
        assert message.startswith(f"{root / name}: ")
        assert "Is a directory" in message or "is not an HDF5 file" in message


def _as_another(action: Callable[[], object]) -> str:
    """The message of the ScanError that the action raises in a child that is not root."""
    for name in ("scan_doctor", "scan_release", "bottom_up_tsv", "npz_folder", "hdf5_vqa"):
        importlib.import_module(f"scan_lightning.data.layouts.{name}")  # the child may not be able to
    here, there = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(there, fault_of(action).encode())
        except BaseException as error:
            os.write(there, repr(error).encode())
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        message = pipe.read()
    os.waitpid(child, 0)
    return message


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("closed", ["folder", "files"])
def test_what_may_not_be_read(root: Path, layout: str, closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images()
    if layout == "scan-release":
        write_release(root, {"dev": 2})
    else:
        images.karpathy(root / "dataset_coco.json")
    _npz(root, images, 0, "391895")
    (root / "x.tsv").write_text(images.line(0) + "\n")
    _adaptive(root, images, [0], offsets=False)
    root.parent.chmod(0o777)  # where the child runs; the folders above are never asked
    monkeypatch.chdir(root.parent)
    files = [path for path in root.iterdir() if path.suffix != ".json"]
    for path in [root] if closed == "folder" else files:
        path.chmod(0)
    try:
        command = ["build", "--layout", layout, "--root", root.name, "--out", "made/s.h5"]
        message = _as_another(lambda: run_data(*command))
    finally:
        root.chmod(0o700)
    assert message.startswith(root.name)
    assert "cannot be read: Permission denied. Ask for permission" in message
    assert not Path("made").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["check", "closed/s.h5"],
        ["check", "--layout", "scan-release", "closed"],
        ["build", "--layout", "scan-release", "--root", "data", "--out", "closed/deep/s.h5"],
    ],
)
def test_where_one_may_not_look(root: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_release(root, {"dev": 2})
    root.parent.chmod(0o777)
    monkeypatch.chdir(root.parent)
    Path("closed").mkdir(mode=0)
    message = _as_another(lambda: run_data(*command))
    assert message.startswith("closed/")
    assert "permission denied" in message.lower()


@pytest.mark.parametrize("locked", ["folder", "file"])
def test_a_target_that_may_not_be_read_is_not_replaced(
    root: Path, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.parent.chmod(0o777)
    monkeypatch.chdir(root.parent)
    Path("there").mkdir()
    target = Path("there/s.h5")
    target.write_text("another's")
    closed = target.parent if locked == "folder" else target
    closed.chmod(0)
    try:
        message = _as_another(lambda: refuse_other_file(target))
    finally:
        target.parent.chmod(0o755)
        target.chmod(0o644)
    assert message == (
        "there/s.h5: cannot be read: permission denied. Ask for permission, or give another name."
    )
    assert target.read_text() == "another's"
