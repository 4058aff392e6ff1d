"""The doctor for a downloaded folder, against the published sizes (sparse files take no room)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from store_help import write_release

from scan_lightning.cli import main
from scan_lightning.data.layouts.scan_doctor import Finding, examine


def _npy(path: Path, shape: tuple[int, ...], dtype: str = "<f4", missing: int = 0) -> None:
    """A sparse .npy file of this shape, `missing` bytes short."""
    with path.open("wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + math.prod(shape) * np.dtype(dtype).itemsize - missing)


def _captions(path: Path, count: int) -> None:
    path.write_text("a dog\n" * count)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All of Flickr30K as published: 29,000 / 1,014 / 1,000 images, 36 x 2048, five captions each."""
    folder = tmp_path / "data" / "f30k_precomp"
    folder.mkdir(parents=True)
    for name, images in (("train", 29000), ("dev", 1014), ("test", 1000)):
        _npy(folder / f"{name}_ims.npy", (images, 36, 2048))
        _captions(folder / f"{name}_caps.txt", images * 5)
    (folder.parent / "vocab").mkdir()
    words = {str(index): index for index in range(8481)}
    (folder.parent / "vocab" / "f30k_precomp_vocab.json").write_text(json.dumps({"word2idx": words}))
    return folder


def _states(root: Path) -> dict[str, Finding]:
    ((_, findings),) = examine(root)
    return {finding.path.name: finding for finding in findings}


def test_a_whole_download_has_no_fault(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--layout", "scan-release", str(root)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Flickr30K\n")
    assert text.count("  found ") == 7
    assert examine(root.parent) == [("Flickr30K", examine(root)[0][1])]


def test_each_kind_of_fault_is_told_apart_with_numbers(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "train_ims.npy").unlink()
    _npy(root / "dev_ims.npy", (1014, 36, 2048), missing=1000)
    _npy(root / "test_ims.npy", (1000, 36, 1024))
    _captions(root / "train_caps.txt", 144_999)
    (root / "dev_caps.txt").unlink()
    _captions(root / "test_caps.txt", 5001)
    found = _states(root)
    assert found["train_ims.npy"].state == "missing"
    assert "(29000, 36, 2048) float32, 8.55 GB" in found["train_ims.npy"].detail
    assert found["dev_ims.npy"].state == "truncated"
    assert f"{1014 * 36 * 2048 * 4 + 128:,}" in found["dev_ims.npy"].detail
    assert found["test_ims.npy"].state == "wrong shape"
    assert "(1000, 36, 1024) float32, expected (1000, 36, 2048)" in found["test_ims.npy"].detail
    assert (found["train_caps.txt"].state, found["train_caps.txt"].detail) == (
        "truncated",
        "144,999 captions, expected 145,000",
    )
    assert found["dev_caps.txt"].state == "missing"
    assert found["test_caps.txt"].state == "wrong length"
    assert main(["data", "check", "--layout", "scan-release", str(root)]) == 2
    assert "kuanghueilee/scan-features" in capsys.readouterr().err


def test_damaged_files_and_other_types(root: Path) -> None:
    (root / "train_ims.npy").write_bytes(b"\x93NUMPY\x01\x00")
    _npy(root / "dev_ims.npy", (1014, 36, 2048), dtype="<f2")
    (root / "dev_caps.txt").write_bytes(b"caf\xe9\n")
    (root.parent / "vocab" / "f30k_precomp_vocab.json").write_text("{")
    found = _states(root)
    assert [found[name].state for name in ("train_ims.npy", "dev_ims.npy", "dev_caps.txt")] == [
        "damaged",
        "wrong type",
        "damaged",
    ]
    assert found["f30k_precomp_vocab.json"].state == "damaged"


def test_the_vocabulary_is_not_needed(root: Path) -> None:
    (root.parent / "vocab" / "f30k_precomp_vocab.json").unlink()
    finding = _states(root)["f30k_precomp_vocab.json"]
    assert finding.state == "missing"
    assert not finding.fault


def test_the_older_redundant_form_is_whole_too(root: Path) -> None:
    _npy(root / "test_ims.npy", (5000, 36, 2048))
    assert _states(root)["test_ims.npy"].state == "found"
    assert "older form" in _states(root)["test_ims.npy"].detail


def test_coco_is_recognised_by_its_captions(tmp_path: Path) -> None:
    root = tmp_path / "some_name"
    root.mkdir()
    _captions(root / "dev_caps.txt", 25_000)
    ((title, findings),) = examine(root)
    assert title == "MS-COCO"
    by_name = {finding.path.name: finding for finding in findings}
    assert by_name["dev_caps.txt"].state == "found"
    assert "33.41 GB" in by_name["train_ims.npy"].detail
    assert "(5000, 36, 2048)" in by_name["testall_ims.npy"].detail


def test_other_data_in_this_layout_is_checked_for_consistency(tmp_path: Path) -> None:
    write_release(tmp_path / "mine", {"train": 3})
    ((title, findings),) = examine(tmp_path / "mine")
    assert "none of the two published" in title
    assert "3 images, 9 regions of 8" in findings[0].detail
    (tmp_path / "mine" / "train_ims.npy").unlink()
    assert examine(tmp_path / "mine")[0][1][0].fault


def test_no_folder_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--layout", "scan-release", str(tmp_path / "none")]) == 2
    assert "kuanghueilee/scan-features" in capsys.readouterr().err
