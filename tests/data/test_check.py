"""`data check`: each contradiction and each flipped bit is found, and named by dataset and block."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import make_records, write

from scan_lightning.data.check import check_store
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = make_records(40)
    links = [(0, records[0].captions[0].index("word"), 0)]
    records[0] = ImageRecord(**{**vars(records[0]), "links": links})
    path = write(tmp_path_factory.mktemp("store") / "s.h5", records)
    assert check_store(path, progress=False) == []
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "s.h5"
    copy.write_bytes(original.read_bytes())
    return copy


def _set(name: str, row: object, value: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[name][row] = value

    return edit


def _set_box(values: list[float]) -> Callable[[h5py.File], None]:
    """Change the first box of image 1, whose size is known."""

    def edit(file: h5py.File) -> None:
        file["region/boxes"][file["region/offsets"][1]] = values

    return edit


def _replace(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        rows, dtype = change(file[name][:]), file[name].dtype
        del file[name]
        file.create_dataset(name, data=rows, dtype=dtype)

    return edit


def _remove_checksum(file: h5py.File) -> None:
    del file["checksum/region/boxes"]


EDITS: dict[str, tuple[Callable[[h5py.File], None], list[str]]] = {
    "NaN": (
        _set("region/features", (9, 3), np.nan),
        ["/region/features: 1 regions hold NaN", "row 9, image 'im"],
    ),
    "infinity": (
        _set("region/features", (0, 0), np.inf),
        ["/region/features: 1 regions hold NaN or infinity"],
    ),
    "first offset": (_set("region/offsets", 0, 1), ["/region/offsets: starts at 1"]),
    "last offset": (_set("region/offsets", -1, 3), ["/region/offsets: ends at 3"]),
    "falling offsets": (_set("region/offsets", 4, 10**6), ["/region/offsets: 1 entries without a region"]),
    "caption offsets": (_set("caption/offsets", 4, -1), ["/caption/offsets: 1 entries", "entry 3"]),
    "caption without an image": (_set("caption/image", 7, 40), ["1 captions without an image", "caption 7"]),
    "duplicate id": (_set("image/id", 3, "image-0-4"), ["/image/id: 1 ids come twice", "'image-0-4'"]),
    "empty id": (_set("image/id", 3, ""), ["/image/id: an id is empty"]),
    "unknown split": (_set("image/split", 3, 9), ["/image/split: 1 images have an unknown split"]),
    "negative size": (_set("image/size", 3, [-1, 5]), ["/image/size: 1 sizes are negative"]),
    "box outside": (
        _set_box([0, 0, 900, 9]),
        ["/region/boxes: 1 wrong boxes", "outside", "100 x 80"],
    ),
    "box swapped": (_set_box([9, 9, 1, 1]), ["/region/boxes: 1 wrong boxes", "swapped"]),
    "half a box": (
        _set_box([1, 1, np.nan, 2]),
        ["/region/boxes: 1 wrong boxes", "not four numbers"],
    ),
    "token outside": (_set("caption/tokens", 0, 999), ["/caption/tokens: 1 tokens outside the lexicon"]),
    "word twice": (_set("lexicon/word", 0, "dog"), ["/lexicon/word: 1 words come twice", "'dog'"]),
    "a count": (_set("lexicon/count", 0, 1000), ["/lexicon/count: 1 counts differ", "1,000"]),
    "test captions counted": (_replace("image/split", lambda codes: codes * 0), ["/lexicon/count:"]),
    "links": (_set("gold/links", 0, [0, 0, 10**6]), ["/gold/links: 1 links lead nowhere"]),
    "link to another image": (_set("gold/links", 0, [0, 0, 100]), ["/gold/links: 1 links lead nowhere"]),
    "checksum missing": (_remove_checksum, ["/checksum/region/boxes: is missing"]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_contradiction_is_named(path: Path, edit: str) -> None:
    change, words = EDITS[edit]
    with h5py.File(path, "r+") as file:
        change(file)
    faults = check_store(path, progress=False)
    assert any(all(word in fault for word in words) for fault in faults), faults
    assert any("digest differs" in fault for fault in faults) or "region/features" in words[0]


def test_all_faults_are_reported_at_once(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for edit in ("NaN", "duplicate id", "box swapped", "caption without an image", "word twice"):
            EDITS[edit][0](file)
    text = "\n".join(check_store(path, progress=False))
    for edit in ("NaN", "duplicate id", "box swapped", "caption without an image", "word twice"):
        assert EDITS[edit][1][0] in text


def _flip(path: Path, byte: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(byte)
        value = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([value ^ (1 << bit)]))


@pytest.mark.parametrize(
    "name",
    [
        "region/features",
        "region/boxes",
        "region/offsets",
        "caption/offsets",
        "caption/tokens",
        "caption/image",
        "image/size",
        "image/split",
        "lexicon/count",
    ],
)
@pytest.mark.fault(
    "one flipped bit in the features, boxes, captions, offsets or any other dataset of a store",
    "`data check` names the dataset and the block",
)
def test_one_flipped_bit_in_a_dataset_is_named_by_dataset_and_block(path: Path, name: str) -> None:
    with h5py.File(path) as file:
        start, count = file[name].id.get_offset(), file[name].nbytes
    generator = random.Random(name)
    _flip(path, start + generator.randrange(count), generator.randrange(8))
    faults = check_store(path, progress=False)
    assert any(fault.startswith(f"/{name}: block 0 (rows 0 to") for fault in faults), faults


def test_one_flipped_bit_in_a_caption_is_named(path: Path, original: Path) -> None:
    byte = original.read_bytes().index(b"word1")
    _flip(path, byte, 0)
    faults = check_store(path, progress=False)
    assert any(fault.startswith(("/caption/text: block 0", "/lexicon/word: block 0")) for fault in faults), (
        faults
    )


def test_the_right_block_of_many_is_named(tmp_path: Path) -> None:
    records = make_records(700, dim=1024)
    path = write(tmp_path / "s.h5", records, dtype="float32")
    with h5py.File(path) as file:
        start = file["region/features"].id.get_offset()
        rows = int(file["checksum/region/features"].attrs["rows_per_block"])
    _flip(path, start + (rows + 5) * 4096, 1)
    (fault,) = check_store(path, progress=False)
    owners = [record.id for record in records for _ in record.features]
    assert f"block 1 (rows {rows:,} to {2 * rows - 1:,})" in fault
    assert repr(owners[rows]) in fault
    assert repr(owners[2 * rows - 1]) in fault


@pytest.mark.fault(
    "20 random bit flips anywhere in a store",
    "`data check` notices each",
)
def test_twenty_random_bits_anywhere_are_noticed(path: Path, original: Path) -> None:
    generator = random.Random(1)
    raw = original.read_bytes()
    for _ in range(20):
        path.write_bytes(raw)
        _flip(path, generator.randrange(len(raw)), generator.randrange(8))
        with contextlib.suppress(ScanError):
            assert check_store(path, progress=False)


@pytest.mark.parametrize("byte", [0, 30, 60, 500, 4095])
def test_the_seal_covers_itself(path: Path, byte: int) -> None:
    _flip(path, byte, 2)
    faults = check_store(path, progress=False)
    assert any("seal" in fault or "digest" in fault for fault in faults), faults
