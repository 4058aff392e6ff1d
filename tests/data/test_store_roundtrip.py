"""What goes into a store comes out: against the very records that were written."""

import multiprocessing
import pickle
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_help import fault_of, make_records, write

from scan_lightning.cli import main
from scan_lightning.data.check import check_store
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.data.store import Store
from scan_lightning.data.text import Vocabulary, tokenizer
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError


@pytest.mark.parametrize(
    ("stored", "given"),
    [("float32", "float32"), ("float16", "float32"), ("float16", "float64"), ("float32", "float16")],
)
def test_regions_come_back_ragged_padded_and_exact(tmp_path: Path, stored: str, given: str) -> None:
    records = make_records(dtype=given)
    store = Store(write(tmp_path / "s.h5", records, dtype=stored))
    assert store.feature_dim == 8
    assert store.feature_dtype == np.dtype(stored)
    features, counts = store.read_regions(np.arange(len(records)))
    assert features.dtype == np.dtype(stored)
    assert features.shape == (len(records), max(len(r.features) for r in records), 8)
    assert counts.dtype == np.int64
    for row, record in enumerate(records):
        assert counts[row] == len(record.features)
        np.testing.assert_array_equal(features[row, : counts[row]], record.features.astype(stored))
        assert not features[row, counts[row] :].any()


@pytest.mark.parametrize("regions", [None, 3])
def test_rows_in_any_order_and_twice(tmp_path: Path, regions: int | None) -> None:
    """Ragged, and with the same number of regions for all."""
    records = make_records()
    if regions:
        noise = np.random.default_rng(1).standard_normal((30, regions, 8)).astype(np.float32)
        records = [replace(record, features=noise[row], boxes=None) for row, record in enumerate(records)]
    store = Store(write(tmp_path / "s.h5", records, dtype="float32"))
    rows = np.array([17, 3, 3, 29, 0, 17])
    features, counts = store.read_regions(rows)
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(features[index, : counts[index]], records[row].features)
    empty, none = store.read_regions(np.array([], dtype=np.int64))
    assert empty.shape == (0, 1, 8)
    assert none.shape == (0,)


@pytest.mark.parametrize("row", [-1, 30])
def test_a_row_outside_is_an_index_error(tmp_path: Path, row: int) -> None:
    store = Store(write(tmp_path / "s.h5", make_records()))
    with pytest.raises(IndexError):
        store.read_regions(np.array([0, row]))


def test_images_boxes_sizes_and_splits(tmp_path: Path) -> None:
    records = make_records()
    store = Store(write(tmp_path / "s.h5", records))
    assert store.image_count == len(records)
    assert store.splits == {
        s: n for s in ("train", "val", "test") if (n := sum(r.split == s for r in records))
    }
    for split in store.splits:
        expected = [row for row, record in enumerate(records) if record.split == split]
        assert store.image_rows(split).tolist() == expected
        assert store.image_rows(split).dtype == np.int64
    for row, record in enumerate(records):
        assert store.image_id(row) == record.id
        assert store.find_image(record.id) == row
        assert store.image_size(row) == (record.width, record.height)
        if record.boxes is None:
            assert np.isnan(store.boxes(row)).all()
        else:
            np.testing.assert_array_equal(store.boxes(row), record.boxes)
        assert store.boxes(row).shape == (len(record.features), 4)
        assert store.boxes(row).dtype == np.float32


def test_captions_words_and_owners(tmp_path: Path) -> None:
    records = make_records()
    store = Store(write(tmp_path / "s.h5", records))
    captions = [(row, text) for row, record in enumerate(records) for text in record.captions]
    assert store.caption_count == len(captions)
    assert store.caption_image.tolist() == [row for row, _ in captions]
    order = np.random.default_rng(0).integers(0, len(captions), 50)  # with doubles
    assert store.caption_text(order) == [captions[row][1] for row in order]
    tokens = list(tokenizer(store.tokenizer).tokenize(text for _, text in captions))
    assert store.caption_words(order) == [tokens[row] for row in order]
    words, _ = store.lexicon
    offsets = store.caption_offsets
    for row in order:
        ids = store.token_rows[offsets[row] : offsets[row + 1]]
        assert ids.dtype == np.int32
        assert [words[index] for index in ids] == tokens[row]
    for split in store.splits:
        expected = [row for row, (image, _) in enumerate(captions) if records[image].split == split]
        assert store.caption_rows(split).tolist() == expected
    assert store.caption_text(np.array([], dtype=np.int64)) == []


def test_the_lexicon_counts_train_and_val_only(tmp_path: Path) -> None:
    records = make_records()
    store = Store(write(tmp_path / "s.h5", records))
    counted, every = Counter(), set()
    for record in records:
        for tokens in tokenizer(store.tokenizer).tokenize(record.captions):
            every.update(tokens)
            if record.split != "test":
                counted.update(tokens)
    words, counts = store.lexicon
    assert counts.dtype == np.int64
    assert set(words) == every
    assert len(set(words)) == len(words)
    assert dict(zip(words, counts.tolist(), strict=True)) == {word: counted[word] for word in every}


def test_test_captions_never_reach_a_vocabulary(tmp_path: Path) -> None:
    features = np.ones((2, 4), dtype=np.float32)
    records = [
        ImageRecord("a", "train", 0, 0, features, None, ["dog dog dog dog"]),
        ImageRecord("b", "test", 0, 0, features, None, ["secret secret secret secret secret"]),
        ImageRecord("c", "val", 0, 0, features, None, ["tree tree", "tree tree"]),
    ]
    store = Store(write(tmp_path / "s.h5", records))
    assert Vocabulary.from_counts(*store.lexicon).words[4:] == ["dog", "tree"]
    assert Vocabulary.from_counts(*store.lexicon, threshold=1).words[4:] == ["dog", "tree"]


def test_gold_links_are_token_positions_and_region_rows(tmp_path: Path) -> None:
    features = np.ones((3, 4), dtype=np.float32)
    texts = ["A  red ball.", "İstanbul's blue box"]
    links = [(0, texts[0].index("red"), 2), (1, texts[1].index("blue"), 0), (1, texts[1].index("box"), 1)]
    first = ImageRecord("x", "train", 0, 0, features, None, ["nothing"])
    store = Store(
        write(tmp_path / "s.h5", [first, ImageRecord("y", "train", 0, 0, features, None, texts, links)])
    )
    assert store.gold_links.dtype == np.int64
    found = [
        (caption, store.caption_words(np.array([caption]))[0][position], region)
        for caption, position, region in store.gold_links.tolist()
    ]
    assert found == [(1, "red", 5), (2, "blue", 3), (2, "box", 4)]
    assert Store(write(tmp_path / "none.h5", [first])).gold_links.shape == (0, 3)


def test_a_link_that_starts_no_word_is_our_own_fault(tmp_path: Path) -> None:
    record = ImageRecord("x", "train", 0, 0, np.ones((1, 4), np.float32), None, ["a red ball"], [(0, 3, 0)])
    with pytest.raises(ValueError, match="character 3"):
        write(tmp_path / "s.h5", [record])
    assert not list(tmp_path.iterdir())


def test_more_captions_than_a_block_keep_their_order(tmp_path: Path) -> None:
    features = np.ones((1, 2), dtype=np.float32)
    records = [
        ImageRecord(
            f"i{row}", "train", 0, 0, features, None, [f"w{row} number {c}" for c in range(7)], [(6, 0, 0)]
        )
        for row in range(1500)
    ]
    store = Store(write(tmp_path / "s.h5", records))
    assert store.caption_text(np.arange(10500)) == [text for record in records for text in record.captions]
    assert store.caption_words(np.array([10499])) == [["w1499", "number", "6"]]
    assert store.gold_links.tolist() == [[row * 7 + 6, 0, row] for row in range(1500)]


def _read_in_child(store: Store, rows: np.ndarray, queue: "multiprocessing.Queue[object]") -> None:
    queue.put((store.read_regions(rows)[0].sum(), store.caption_text(np.array([1])), store.boxes(1).tolist()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_open_store_travels_to_another_process(tmp_path: Path, method: str) -> None:
    store = Store(write(tmp_path / "s.h5", make_records()))
    rows = np.array([4, 2])
    expected = (store.read_regions(rows)[0].sum(), store.caption_text(np.array([1])), store.boxes(1).tolist())
    store.find_image("image-0-3")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=_read_in_child, args=(store, rows, queue)) for _ in range(2)]
    for child in children:
        child.start()
    for _ in children:
        assert queue.get(timeout=60) == expected
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert store.boxes(1).tolist() == expected[2]  # the parent's handle still works


def test_a_pickle_holds_the_header_only(tmp_path: Path) -> None:
    store = Store(write(tmp_path / "s.h5", make_records(count=300)))
    store.read_regions(np.arange(300))
    store.find_image("image-0-3")
    assert store.lexicon
    assert len(pickle.dumps(store)) < 1500
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.read_regions(np.arange(9))[0], store.read_regions(np.arange(9))[0])


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    records = [record for record in make_records() if record.split != "val"]
    store = Store(write(tmp_path / "s.h5", records))
    for split in ("val", "dev"):
        for read in (store.image_rows, store.caption_rows):
            message = fault_of(lambda read=read, split=split: read(split))
            assert split in message
            assert "train" in message
            assert "test" in message
            assert "s.h5" in message


def test_an_unknown_image_gets_near_names(tmp_path: Path) -> None:
    store = Store(write(tmp_path / "s.h5", make_records()))
    assert "image-0-2" in fault_of(lambda: store.find_image("image-0-2x"))
    assert "image-0-0" in fault_of(lambda: store.find_image("zzzz"))


@pytest.mark.parametrize("captioned", [0, 1])
def test_images_may_have_no_caption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], captioned: int
) -> None:
    """All of them, or all but one; the store checks, shows, derives and predicts."""
    records = [replace(record, links=()) for record in make_records()]
    records = [
        replace(record, captions=[]) if row >= captioned else record for row, record in enumerate(records)
    ]
    path = write(tmp_path / "s.h5", records)
    store = Store(path)
    assert store.caption_count == sum(len(record.captions) for record in records)
    assert store.image_count == len(records)
    assert check_store(path, progress=False) == []
    assert main(["data", "show", str(path)]) == 0
    assert ("none" if not captioned else f"{store.caption_count}, 0 to ") in capsys.readouterr().out
    assert main(["data", "convert", str(path), "--dtype", "float32", "--out", str(tmp_path / "c.h5")]) == 0
    assert Store(tmp_path / "c.h5").image_ids == store.image_ids
    data = ScanDataModule(path)
    images, captions = data.predict_dataloader()
    assert sum(len(batch) for batch in images) == store.splits["test"]
    assert sum(len(batch) for batch in captions) == len(store.caption_rows("test"))
    split = next(name for name in store.splits if not len(store.caption_rows(name)))
    message = f"{path}: split {split} has {store.splits[split]} images without a caption"
    with pytest.raises(ScanError, match=re.escape(message)):
        ScanDataModule(path, test_split=split).test_dataloader()
