"""The doctor for a folder in the released layout: published data against its numbers, own data in itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_help import write_release

from scan_lightning.cli import main
from scan_lightning.data.layouts import scan_doctor, scan_published, scan_values
from scan_lightning.data.layouts.scan_doctor import examine
from scan_lightning.data.layouts.scan_published import PUBLISHED, Published

IMAGES = {"train": 29, "dev": 11, "test": 10}
WORDS = 84


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two published data sets a thousand times smaller, so that their files can be there whole."""
    small = (
        Published("Flickr30K", "f30k_precomp", IMAGES, WORDS, regions=3, width=8),
        Published("MS-COCO", "coco_precomp", {"train": 113, "dev": 50, "test": 12, "testall": 55}, 13, 3, 8),
    )
    monkeypatch.setattr(scan_doctor, "PUBLISHED", small)
    monkeypatch.setattr(scan_published, "PUBLISHED", small)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All of Flickr30K, as if it were published at this size."""
    folder = tmp_path / "data" / "f30k_precomp"
    write_release(folder, IMAGES)
    (folder.parent / "vocab").mkdir()
    words = {str(index): index for index in range(WORDS)}
    (folder.parent / "vocab" / "f30k_precomp_vocab.json").write_text(json.dumps({"word2idx": words}))
    return folder


def _change(path: Path, row: int | tuple[int, ...], value: float) -> None:
    array = np.load(path)
    array[row] = value
    np.save(path, array)


def _cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def _lines(path: Path, count: int) -> None:
    path.write_text("a dog\n" * count)


def _states(root: Path) -> dict[str, list[str]]:
    """State and detail of each file of the one data set in a folder."""
    (report,) = examine(root, progress=False)
    states: dict[str, list[str]] = {}
    for finding in report.findings:
        assert str(finding.path) not in finding.detail  # the command prints it once, before the detail
        states.setdefault(finding.path.name, []).append(f"{finding.state}: {finding.detail}")
    return states


def _check(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["data", "check", "--layout", "scan-release", str(root)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_numbers_are_those_of_the_release() -> None:
    flickr30k, coco = PUBLISHED
    assert (flickr30k.images, flickr30k.vocabulary) == ({"train": 29000, "dev": 1014, "test": 1000}, 8481)
    images = {"train": 113287, "dev": 5000, "test": 1000, "testall": 5000}
    assert (coco.images, coco.vocabulary) == (images, 11353)
    assert (coco.regions, coco.width) == (flickr30k.regions, flickr30k.width) == (36, 2048)


def test_a_whole_download_has_no_fault(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = _check(root, capsys)
    assert status == 0
    assert out.startswith("Flickr30K, as released\n")
    assert out.count("  found ") == 7
    assert "error" not in err
    assert examine(root.parent, progress=False) == examine(root, progress=False)


def test_each_kind_of_fault_is_told_apart_with_numbers(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "train_ims.npy").unlink()
    _cut(root / "dev_ims.npy", 100)
    np.save(root / "test_ims.npy", np.zeros((10, 3, 4), np.float32))
    _lines(root / "train_caps.txt", 144)
    (root / "dev_caps.txt").unlink()
    _lines(root / "test_caps.txt", 51)
    whole = 11 * 3 * 8 * 4 + 128
    states = _states(root)
    assert states.pop("f30k_precomp_vocab.json") == ["found: 84 words"]
    assert states == {
        "train_ims.npy": ["missing: expected (29, 3, 8) float32, 2.78 kB"],
        "train_caps.txt": ["truncated: 144 captions, expected 145"],
        "dev_ims.npy": [
            f"truncated: is cut short: {whole - 100:,} bytes, its shape (11, 3, 8) of float32 needs "
            f"{whole:,}. Copy or download it again."
        ],
        "dev_caps.txt": ["missing: expected 55 captions"],
        "test_ims.npy": [
            "wrong shape: (10, 3, 4), expected (10, 3, 8) float32, 960 bytes",
        ],
        "test_caps.txt": ["too long: 51 captions, expected 50"],
    }
    status, _, err = _check(root, capsys)
    assert status == 2
    assert f"error: {root}: 6 problems. Copy or download the files again: kaggle" in err
    assert "kuanghueilee/scan-features" in err


def test_damaged_files_and_several_faults_of_one_file(root: Path) -> None:
    (root / "train_ims.npy").write_bytes(b"\x93NUMPY\x01\x00")
    np.save(root / "dev_ims.npy", np.load(root / "dev_ims.npy")[:-1].astype(np.float16))
    _cut(root / "dev_ims.npy", 1)
    (root / "dev_caps.txt").write_bytes(b"caf\xe9\n")
    _change(root / "test_ims.npy", (4, 1, 2), np.inf)
    (root.parent / "vocab" / "f30k_precomp_vocab.json").write_text("{")
    states = _states(root)
    assert "header is damaged" in states["train_ims.npy"][0]
    assert "expected (29, 3, 8) float32" in states["train_ims.npy"][0]
    assert [state.split(":")[0] for state in states["dev_ims.npy"]] == [
        "wrong shape",
        "wrong type",
        "truncated",
    ]
    assert states["dev_caps.txt"][0].startswith("damaged: line 1 is not UTF-8")
    assert states["test_ims.npy"][0].startswith(
        "not finite: row 4 holds NaN or infinity: feature 2 of region 1"
    )
    assert states["f30k_precomp_vocab.json"] == ["damaged: not a vocabulary (JSONDecodeError)"]


def test_the_vocabulary_is_not_needed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root.parent / "vocab" / "f30k_precomp_vocab.json").unlink()
    assert _states(root)["f30k_precomp_vocab.json"][0].startswith("missing: no problem")
    assert _check(root, capsys)[0] == 0


def test_boxes_and_ids_beside_published_files_are_held_against_them(root: Path) -> None:
    np.save(root / "dev_boxes.npy", np.zeros((11, 4, 4), np.float32))
    _lines(root / "test_ids.txt", 3)
    states = _states(root)
    assert states["dev_boxes.npy"][0].startswith("wrong shape: has shape (11, 4, 4); expected (11, 3, 4)")
    assert states["test_ids.txt"][0].startswith("inconsistent: has 3 ids for the 10 images of test_ims.npy")


@pytest.mark.parametrize("shape", [(11, 3, 5), (11, 3, 8)])
def test_boxes_that_are_no_boxes_are_one_fault(root: Path, shape: tuple[int, ...]) -> None:
    """An odd number of numbers, and a multiple of four: neither is read as if it were boxes."""
    for name, there in (("dev", True), ("test", False)):
        np.save(root / f"{name}_boxes.npy", np.full(shape, -9, np.float32))
        if not there:
            (root / f"{name}_ims.npy").unlink()
        (state,) = _states(root)[f"{name}_boxes.npy"]
        assert state.startswith(f"wrong shape: has shape {shape}; expected (11, 3, 4)")


def test_ids_that_come_again_in_another_split_of_published_files_are_a_fault(root: Path) -> None:
    for name, count in (("dev", 11), ("test", 10)):
        (root / f"{name}_ids.txt").write_text("".join(f"{index}.jpg\n" for index in range(count)))
    (state,) = _states(root)["test_ids.txt"]
    assert state.startswith("inconsistent")
    assert "0.jpg" in state


def test_the_older_redundant_form_is_whole_too_and_a_row_that_differs_is_named(root: Path) -> None:
    np.save(root / "test_ims.npy", np.repeat(np.load(root / "test_ims.npy"), 5, axis=0))
    assert _states(root)["test_ims.npy"] == [
        "found: (50, 3, 8) float32 (the older form, five equal rows an image)"
    ]
    _change(root / "test_ims.npy", (33, 0, 0), 9)
    assert _states(root)["test_ims.npy"][0].startswith("inconsistent: row 33 differs from row 30;")


def test_coco_is_recognised_by_its_captions_and_a_missing_test_is_none_beside_testall(tmp_path: Path) -> None:
    root = tmp_path / "some_name"
    root.mkdir()
    _lines(root / "dev_caps.txt", 250)
    (report,) = examine(root, progress=False)
    assert report.title == "MS-COCO, as released"
    states = _states(root)
    assert states["dev_caps.txt"] == ["found: 250 captions"]
    assert states["train_ims.npy"][0].startswith("missing: expected (113, 3, 8)")
    assert states["test_ims.npy"][0].startswith("missing: expected (12, 3, 8)")
    write_release(root, {"testall": 55})
    assert _states(root)["test_ims.npy"] == ["missing: no problem: testall replaces it"]


@pytest.mark.parametrize("name", ["my_coco", "f30k_precomp_own"])
def test_a_name_that_only_resembles_and_other_features_of_the_same_pictures_are_own_data(
    tmp_path: Path, name: str
) -> None:
    write_release(tmp_path / name, IMAGES, dim=5)
    (report,) = examine(tmp_path / name, progress=False)
    assert report.title.startswith("your own data in the released layout (neither of the two published")
    assert report.problems == 0


def test_own_data_every_fault_of_every_file_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "mine"
    write_release(root, {"train": 7, "dev": 4, "test": 3}, extras=True)
    _change(root / "train_ims.npy", 5, np.nan)
    _change(root / "train_ims.npy", (2, 1, 3), -np.inf)
    _change(root / "train_boxes.npy", (6, 2, 0), 1e6)
    (root / "train_ids.txt").write_text("a\n\n" + "b\n" * 5)
    np.save(root / "dev_ims.npy", np.load(root / "dev_ims.npy")[0])
    _lines(root / "dev_ids.txt", 9)  # nothing to compare it with
    _lines(root / "test_caps.txt", 8)
    _cut(root / "test_boxes.npy", 5)
    states = _states(root)
    assert states["train_ims.npy"] == [
        "not finite: 2 rows (2, 5) hold NaN or infinity: feature 3 of region 1 of row 2 is -inf. Expected "
        "finite numbers; extract these images again."
    ]
    assert states["train_boxes.npy"][0].startswith("inconsistent: 1 wrong boxes, the first: box 2 of row 6 ")
    assert "corners swapped" in states["train_boxes.npy"][0]
    assert states["train_ids.txt"] == ["damaged: line 2 is empty; expected an id."]
    assert states["dev_ims.npy"][0].startswith("wrong shape: has shape (3, 8)")
    assert states["test_caps.txt"][0].startswith("inconsistent: has 8 captions for the 3 images")
    assert states["test_boxes.npy"][0].startswith("truncated: is cut short")
    for name in ("train_caps.txt", "dev_caps.txt", "dev_boxes.npy", "dev_ids.txt", "test_ims.npy"):
        assert states[name][0].startswith("found: ")
    status, out, err = _check(root, capsys)
    assert status == 2
    assert f"error: {root}: 6 problems. Fix these files or make them again.\n" in err
    assert "kaggle" not in out + err


def test_own_data_a_row_is_named_with_its_image(tmp_path: Path) -> None:
    write_release(tmp_path, {"dev": 3}, extras=True)
    _change(tmp_path / "dev_ims.npy", (1, 2, 7), np.nan)
    assert "feature 7 of region 2 of row 1 (dev-1.jpg) is nan" in _states(tmp_path)["dev_ims.npy"][0]


def test_own_data_widths_and_ids_between_splits(tmp_path: Path) -> None:
    write_release(tmp_path, {"train": 3}, extras=True)
    write_release(tmp_path, {"dev": 3}, dim=7)
    (tmp_path / "dev_ids.txt").write_text("x\ntrain-1.jpg\ny\n")
    states = _states(tmp_path)
    assert states["dev_ims.npy"][0].startswith("inconsistent: features are 7 wide, those of train_ims.npy 8.")
    assert "line 2: id 'train-1.jpg' was used already (train_ids.txt, line 2)" in states["dev_ids.txt"][0]


def test_own_data_test_is_a_part_of_testall(tmp_path: Path) -> None:
    write_release(tmp_path, {"test": 2, "testall": 5}, extras=True)
    shared = (tmp_path / "testall_ids.txt").read_text().splitlines(keepends=True)[:2]
    (tmp_path / "test_ids.txt").write_text("".join(shared))
    assert examine(tmp_path, progress=False)[0].problems == 0


def test_images_of_zeros_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_release(tmp_path / "mine", {"dev": 9})
    _change(tmp_path / "mine" / "dev_ims.npy", slice(7, None), 0)  # type: ignore[arg-type]
    status, out, _ = _check(tmp_path / "mine", capsys)
    assert status == 0
    assert "note         dev_ims.npy: 2 rows (7, 8) of 9 are zero from end to end" in out


def test_faults_are_found_in_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_values, "BLOCK_BYTES", 5 * 3 * 8 * 4)
    write_release(tmp_path, {"dev": 17}, extras=True)
    for row in (0, 5, 16):
        _change(tmp_path / "dev_ims.npy", (row, 0, 0), np.nan)
    _change(tmp_path / "dev_boxes.npy", (16, 1, 2), -5)
    states = _states(tmp_path)
    assert states["dev_ims.npy"][0].startswith("not finite: 3 rows (0, 5, 16) hold NaN")
    assert "box 1 of row 16 (dev-16.jpg)" in states["dev_boxes.npy"][0]


@pytest.mark.slow
def test_a_file_larger_than_the_memory_is_read_in_blocks_with_progress(tmp_path: Path) -> None:
    """262 MB of values (a hole, but for one of them), where only 100 MB more may be taken."""
    rows = 250
    with (tmp_path / "dev_ims.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 128, 2048)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + rows * 128 * 2048 * 4)
        file.seek(-4, os.SEEK_END)
        file.write(np.float32(np.nan).tobytes())
    _lines(tmp_path / "dev_caps.txt", rows * 5)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from scan_lightning.data.layouts.scan_doctor import examine\n"
        "status = Path('/proc/self/status').read_text()\n"
        "used = int(status.split('VmData:')[1].split()[0]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + 100_000_000,) * 2)\n"
        "print([finding.detail for finding in examine(Path(sys.argv[1]))[0].findings])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "row 249 holds NaN or infinity: feature 2047 of region 127" in done.stdout
    assert "reading values: 262.14 MB of 262.14 MB, " in done.stderr


def test_no_folder_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = _check(tmp_path / "none", capsys)
    assert status == 2
    assert "there is no such folder" in err
    assert "kuanghueilee/scan-features" in err
    (tmp_path / "f.h5").write_text("x")
    status, _, err = _check(tmp_path / "f.h5", capsys)
    assert status == 2
    assert "is a file; expected the folder" in err
    status, _, err = _check(tmp_path, capsys)
    assert status == 2
    assert "holds no split" in err
