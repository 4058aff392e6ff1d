"""The file itself, read with plain h5py: the published table of names, types and shapes."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import make_records, write

from scan_lightning.data.text import tokenizer

STRING = h5py.string_dtype("utf-8")


@pytest.fixture(scope="module")
def records():  # type: ignore[no-untyped-def]
    return make_records(40)


@pytest.fixture(scope="module", params=["float16", "float32"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, records) -> Path:  # type: ignore[no-untyped-def]
    return write(tmp_path_factory.mktemp("store") / "s.h5", records, dtype=request.param, source="unit test")


def test_attributes(path: Path) -> None:
    with h5py.File(path) as file:
        attrs = dict(file.attrs)
    assert attrs.pop("created").startswith(b"20")
    assert attrs == {
        "format": b"scan-lightning",
        "version": 1,
        "source": b"unit test",
        "feature_dim": 8,
        "tokenizer": b"spacy-en-lower",
        "complete": True,
    }


def test_names_shapes_and_types(path: Path, records) -> None:  # type: ignore[no-untyped-def]
    images = len(records)
    regions = sum(len(record.features) for record in records)
    captions = [text for record in records for text in record.captions]
    tokens = [word for words in tokenizer("spacy-en-lower").tokenize(captions) for word in words]
    words = len(set(tokens))
    with h5py.File(path) as file:
        for name, shape, dtype in (
            ("image/id", (images,), STRING),
            ("image/size", (images, 2), np.int32),
            ("region/offsets", (images + 1,), np.int64),
            ("region/boxes", (regions, 4), np.float32),
            ("caption/text", (len(captions),), STRING),
            ("caption/image", (len(captions),), np.int64),
            ("caption/tokens", (len(tokens),), np.int32),
            ("caption/offsets", (len(captions) + 1,), np.int64),
            ("lexicon/word", (words,), STRING),
            ("lexicon/count", (words,), np.int64),
        ):
            assert file[name].shape == shape, name
            assert file[name].dtype == np.dtype(dtype), name
        for name in ("image/id", "caption/text", "lexicon/word"):
            assert h5py.check_string_dtype(file[name].dtype) == ("utf-8", None)
        assert h5py.check_enum_dtype(file["image/split"].dtype) == {"train": 0, "val": 1, "test": 2}
        assert file["image/split"].shape == (images,)
        features = file["region/features"]
        assert features.shape == (regions, 8)
        assert features.dtype in (np.float16, np.float32)


def test_features_are_contiguous_uncompressed_allocated_and_where_the_offset_says(
    path: Path, records
) -> None:  # type: ignore[no-untyped-def]
    with h5py.File(path) as file:
        features = file["region/features"]
        plist = features.id.get_create_plist()
        assert plist.get_layout() == h5py.h5d.CONTIGUOUS
        assert plist.get_alloc_time() == h5py.h5d.ALLOC_TIME_EARLY
        assert plist.get_nfilters() == 0
        dtype, offset, shape = features.dtype, features.id.get_offset(), features.shape
    mapped = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)
    expected = np.concatenate([record.features for record in records]).astype(dtype)
    np.testing.assert_array_equal(mapped, expected)


def test_the_lexicon_starts_with_the_most_frequent_word(path: Path) -> None:
    with h5py.File(path) as file:
        words, counts = file["lexicon/word"].asstr()[:].tolist(), file["lexicon/count"][:].tolist()
    assert sorted(zip(words, counts, strict=True), key=lambda pair: (-pair[1], pair[0])) == list(
        zip(words, counts, strict=True)
    )


def test_every_dataset_has_digests_that_anyone_can_redo(path: Path) -> None:
    with h5py.File(path) as file:
        names: list[str] = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        data = [name for name in names if not name.startswith("checksum/")]
        assert sorted(f"checksum/{name}" for name in data) == sorted(set(names) - set(data))
        for name in data:
            rows, digests = file[name][:], file[f"checksum/{name}"]
            size = int(digests.attrs["rows_per_block"])
            assert len(digests) == -(-len(rows) // size)
            for block in range(len(digests)):
                part = rows[block * size : (block + 1) * size]
                if part.dtype == object:
                    raw = b"".join(len(text).to_bytes(4, "little") + text for text in part)
                else:
                    raw = part.tobytes()
                assert digests[block].tobytes() == hashlib.sha256(raw).digest(), (name, block)


def test_blocks_of_a_larger_array_are_digested_one_by_one(tmp_path: Path) -> None:
    records = make_records(700, dim=1024)  # about 11 MB in float32: three blocks
    path = write(tmp_path / "s.h5", records, dtype="float32")
    expected = np.concatenate([record.features for record in records])
    with h5py.File(path) as file:
        digests = file["checksum/region/features"]
        size = int(digests.attrs["rows_per_block"])
        assert len(digests) == -(-len(expected) // size) == 3
        np.testing.assert_array_equal(file["region/features"][:], expected)
        for block in range(3):
            raw = expected[block * size : (block + 1) * size].tobytes()
            assert digests[block].tobytes() == hashlib.sha256(raw).digest()


def test_the_seal_covers_every_byte_outside_the_features(path: Path) -> None:
    raw = path.read_bytes()
    head, _, stored = raw[:4096].rstrip(b"\0").rpartition(b"sha256 ")
    start, count = (int(number) for number in head.split(b"\n")[1].split()[1:])
    with h5py.File(path) as file:
        assert start == file["region/features"].id.get_offset()
        assert count == file["region/features"].nbytes
    digest = hashlib.sha256(head + raw[4096:start] + raw[start + count :]).hexdigest()
    assert stored.decode().strip() == digest
