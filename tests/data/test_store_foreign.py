"""Stores crafted by a stranger: refused when opened, before another file is read or memory is taken."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import fault_of, make_records, run_data, write

from scan_lightning.data.check import check_store
from scan_lightning.data.format import TEXT_BYTES
from scan_lightning.data.store import Store

STRING = h5py.string_dtype("utf-8")
Craft = Callable[[h5py.File], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_bytes(b"another user's text " * 100)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("text", data=["secret"] * 200, dtype=STRING)
        file.create_group("caption")["text"] = ["secret"] * 200
    return write(tmp_path / "s.h5", make_records())


def _put(name: str, **options: object) -> Craft:
    """Another dataset in the place of one."""

    def craft(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **options)

    return craft


def _link(name: str, link: Callable[[h5py.File], object]) -> Craft:
    def craft(file: h5py.File) -> None:
        made = link(file)
        file.move(name, "elsewhere")
        file[name] = made

    return craft


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(200,), dtype=STRING)
    layout[:] = h5py.VirtualSource("other.h5", "text", shape=(200,), dtype=STRING)
    del file["caption/text"]
    file.create_virtual_dataset("caption/text", layout)


def _attribute(name: str, value: object) -> Craft:
    return lambda file: file.attrs.__setitem__(name, value)


def _huge(name: str) -> Craft:
    """Declare terabytes that were never written."""

    def craft(file: h5py.File) -> None:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        file.create_dataset(name, shape=(1 << 40, *shape[1:]), dtype=dtype, chunks=None)

    return craft


CRAFTED: dict[str, tuple[Craft, str]] = {
    "external raw storage": (
        _put("caption/image", shape=(200,), dtype="i8", external=[("secret.txt", 0, 1600)]),
        "/caption/image lies in other files",
    ),
    "external link": (
        _link("caption/text", lambda file: h5py.ExternalLink("other.h5", "text")),
        "/caption/text lies behind an external link",
    ),
    "external group": (
        _link("caption", lambda file: h5py.ExternalLink("other.h5", "caption")),
        "/caption/text lies behind an external link",
    ),
    "soft link": (
        _link("image/id", lambda file: h5py.SoftLink("/caption/text")),
        "/image/id lies behind a soft link",
    ),
    "virtual": (_virtual, "/caption/text lies in other files"),
    "a group": (
        lambda file: (file.pop("region/features"), file.create_group("region/features")),
        "/region/features is a group",
    ),
    "a type": (
        _link("region/features", lambda file: np.dtype("f4")),
        "/region/features is a datatype",
    ),
    "feature_dim infinite": (_attribute("feature_dim", np.inf), "lacks the attributes feature_dim (int)"),
    "feature_dim negative": (_attribute("feature_dim", -8), "lacks the attributes feature_dim"),
    "format a table": (_attribute("format", np.ones(9)), "is damaged, or a store of an earlier"),
    "version a reference": (
        lambda file: file.attrs.__setitem__("version", file["image"].ref),
        "version None",
    ),
    "source outside its place": (_attribute("source", "x"), "lacks the attributes source (str)"),
    "terabytes of features": (_huge("region/features"), "/region/features is cut short"),
    "terabytes of text": (_huge("caption/text"), "/caption/text is cut short"),
    "terabytes of offsets": (_huge("region/offsets"), "/region/offsets is int64 (1099511627776,), expected"),
    "nothing behind it": (_put("lexicon/count", shape=(18,), dtype="i8"), "/lexicon/count lacks a part"),
    "two-dimensional offsets": (
        _put("region/offsets", data=np.zeros((31, 1), np.int64)),
        "/region/offsets is int64 (31, 1), expected int64 (31)",
    ),
    "float indices": (_put("caption/image", data=np.zeros(82)), "/caption/image is float64"),
    "numbers as text": (_put("caption/text", data=np.zeros(82, np.int64)), "/caption/text is int64"),
    "references as text": (
        lambda file: _put("image/id", data=np.array([file["image"].ref] * 30, dtype=h5py.ref_dtype))(file),
        "/image/id is object (30,), expected strings (N)",
    ),
    "a scalar": (_put("image/split", data=np.int8(1)), "/image/split is int8 ()"),
    "no space": (_put("image/size", dtype="i4", shape=None), "/image/size is int32 None"),
    "compressed": (
        _put("region/boxes", data=np.zeros((99, 4), np.float32), compression="gzip"),
        "/region/boxes is ",
    ),
    "fewer sizes": (_put("image/size", data=np.zeros((29, 2), np.int32)), "expected int32 (30, 2)"),
    "no image": (
        lambda file: (
            [
                _put(f"image/{name}", data=np.zeros(shape, dtype), dtype=dtype)(file)
                for name, shape, dtype in (("id", 0, STRING), ("split", 0, "i1"), ("size", (0, 2), "i4"))
            ]
            and _put("region/offsets", data=np.zeros(1, np.int64))(file)
        ),
        "holds no image",
    ),
}


@pytest.mark.parametrize("kind", CRAFTED)
@pytest.mark.fault(
    "a store crafted by a stranger: datasets in other files, of wrong types, of terabytes",
    "refused when it is opened, in one message, before anything is read",
)
def test_a_crafted_store_is_refused_when_opened(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    craft, words = CRAFTED[kind]
    with h5py.File(path, "r+") as file:
        craft(file)
    message = fault_of(lambda: Store(path))
    assert words in message
    assert "secret" not in message
    assert fault_of(lambda: check_store(path, progress=False)) == message


def test_a_long_string_is_refused_before_it_is_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["caption/text"][3] = "x" * 100_000_000
    store = Store(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "/caption/text is damaged (cannot be read (a string of 100,000,000 bytes" in fault_of(
        lambda: store.caption_text(np.arange(9))
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB
    assert any("a string of 100,000,000 bytes" in line for line in check_store(path, progress=False))


def test_one_string_shared_by_many_rows_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        _put("caption/text", data=["x" * 60_000] + ["y"] * 81, dtype=STRING)(file)
        start = file["caption/text"].id.get_offset()
    raw = bytearray(path.read_bytes())
    raw[start : start + 82 * 16] = raw[start : start + 16] * 82
    path.write_bytes(raw)
    assert "more text than the file is long" in fault_of(lambda: Store(path).caption_text(np.arange(9)))


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_pipe_and_a_device_are_refused_without_waiting(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "s.h5")
    for path in (tmp_path / "s.h5", Path("/dev/zero")):
        assert "is a pipe, socket or device" in fault_of(lambda path=path: run_data(command, path))


def test_a_caption_longer_than_a_store_holds_is_not_written(tmp_path: Path) -> None:
    records = make_records(3)
    records[1] = type(records[1])(**vars(records[1]) | {"captions": ["a" * (TEXT_BYTES + 1)]})
    assert "65,537 bytes" in fault_of(lambda: write(tmp_path / "s.h5", records))
