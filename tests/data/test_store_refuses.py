"""Files that are no good store: each refused when it is opened, in one message."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import fault_of, make_records, write

from scan_lightning.data.check import check_store
from scan_lightning.data.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "s.h5", make_records())


def _message(path: Path) -> str:
    message = fault_of(lambda: Store(path))
    assert str(path) in message
    assert fault_of(lambda: check_store(path, progress=False)) == message
    return message


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "no such file" in _message(tmp_path / "none.h5")
    assert "is a folder" in _message(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 100_000])
def test_no_hdf5_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.h5"
    path.write_bytes(content)
    assert "not an HDF5 file" in _message(path)


def test_another_hdf5_file(tmp_path: Path) -> None:
    path = tmp_path / "vqa.hdf5"
    with h5py.File(path, "w") as file:
        file["image_features"] = np.zeros(3)
    message = _message(path)
    assert "not a store" in message
    assert "hdf5-vqa" in message


def test_another_version(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2
    message = _message(path)
    assert "version 2" in message
    assert "version 1" in message


@pytest.mark.parametrize("complete", [None, False])
def test_unfinished(path: Path, complete: bool | None) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["complete"]
        if complete is not None:
            file.attrs["complete"] = complete
    assert "unfinished" in _message(path)


@pytest.mark.parametrize("name", ["region/features", "caption/text", "lexicon/count"])
def test_a_dataset_is_gone(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
    assert name in _message(path)


def test_chunked_features_cannot_be_streamed(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        features = file["region/features"][:]
        del file["region/features"]
        file.create_dataset("region/features", data=features, chunks=True)
    assert "not contiguous" in _message(path)


@pytest.mark.parametrize("dtype", ["float64", "int8"])
def test_features_of_another_type(path: Path, dtype: str) -> None:
    with h5py.File(path, "r+") as file:
        features = file["region/features"][:]
        del file["region/features"]
        file["region/features"] = features.astype(dtype)
    message = _message(path)
    assert dtype in message
    assert "float16 or float32" in message


def test_features_of_another_width_than_the_attribute(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["feature_dim"] = 9
    assert "(R, 9)" in _message(path)


@pytest.mark.parametrize("part", range(20))
@pytest.mark.fault(
    "a store truncated at 20 places",
    "refused when it is opened, in one message",
)
def test_cut_short_anywhere(path: Path, tmp_path: Path, part: int) -> None:
    size = path.stat().st_size
    short = tmp_path / "short.h5"
    with path.open("rb") as source:
        short.write_bytes(source.read(size * part // 20 + (part == 0) * 10))
    message = _message(short)
    assert "short" in message or "not an HDF5 file" in message


def test_a_store_replaced_while_it_is_in_use(path: Path, tmp_path: Path) -> None:
    before = Store(path)
    running = Store(path)
    expected = running.read_regions(np.arange(5))[0]
    write(path, make_records(seed=1))
    np.testing.assert_array_equal(running.read_regions(np.arange(5))[0], expected)  # still the old file
    assert "replaced" in fault_of(lambda: before.read_regions(np.arange(5)))
    path.unlink()
    assert "removed" in fault_of(lambda: before.caption_text(np.arange(5)))


def test_a_store_cut_while_it_is_in_use_is_a_message_and_no_crash(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.h5"
    shutil.copy(path, copy)
    store = Store(copy)
    store.read_regions(np.arange(5))
    with copy.open("r+b") as file:
        file.truncate(5000)
    assert "cut short" in fault_of(lambda: store.read_regions(np.arange(30)))


def test_damaged_strings_are_a_message(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["image/id"]
        rows = np.array([b"\xff\xfe"] * 30, dtype=object)
        file.create_dataset("image/id", data=rows, dtype=h5py.string_dtype("utf-8"))
    assert "image/id" in fault_of(lambda: Store(path).image_id(0))
