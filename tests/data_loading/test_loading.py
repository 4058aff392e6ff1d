"""Batches against the records they were made from."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from loading_records import records

from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch
from scan_lightning.data.captions import CaptionTokens, caption_tokens
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.data.items import Images
from scan_lightning.data.loading import BlockLoader
from scan_lightning.data.order import permutation
from scan_lightning.data.store import Store
from scan_lightning.data.text import END, PAD, SPECIALS, START, UNK, Vocabulary
from scan_lightning.errors import ScanError
from scan_lightning.options import options_of


def pairs_of(split: str) -> list[tuple[np.ndarray, str]]:
    """(features, caption) of every caption of a split, in the store's order."""
    return [
        (record.features, caption)
        for record in records()
        if record.split == split
        for caption in record.captions
    ]


def test_a_training_batch_holds_its_pairs(store_path: Path) -> None:
    data = ScanDataModule(store_path, batch_size=8, seed=5, word_threshold=2)
    pairs = pairs_of("train")
    order = permutation(len(pairs), 5, 0)
    position = 0
    for batch in data.train_dataloader():
        assert batch.images.regions.dtype == torch.float16
        for row in range(len(batch)):
            features, caption = pairs[order[position]]
            count = int(batch.images.counts[row])
            assert np.array_equal(batch.images.regions[row, :count], features)
            assert batch.images.regions[row, count:].count_nonzero() == 0
            tokens = batch.captions.tokens[row, : int(batch.captions.counts[row])]
            expected = [data.vocabulary.id(word) for word in caption.lower().split()]
            assert tokens.tolist() == [START, *expected, END]
            assert (batch.captions.tokens[row, len(tokens) :] == PAD).all()
            position += 1
    assert position == len(pairs)
    assert any(len(caption) == 0 for _, caption in pairs)  # an empty caption is start + end


def test_words_below_the_threshold_are_unknown(store_path: Path) -> None:
    data = ScanDataModule(store_path, word_threshold=2)
    assert "dog" in data.vocabulary.words
    assert not any(word.startswith("rare") for word in data.vocabulary.words)
    batch = next(iter(data.train_dataloader()))
    assert (batch.captions.tokens == UNK).any()


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_anywhere_the_batches_are_those_of_the_unbroken_loader(
    store_path: Path, workers: int
) -> None:
    data = ScanDataModule(store_path, batch_size=7, workers=workers)
    unbroken = data.train_dataloader()
    sequence = [batch.captions.tokens for _ in range(4) for batch in unbroken]
    length = len(unbroken)
    for step in (0, 1, length, 2 * length - 1, 2 * length):
        data.trainer = place()  # type: ignore[assignment]
        loader = data.train_dataloader()
        rest = iter(loader)
        data.trainer = place(epoch=step // length, batch=step % length)  # as Lightning has read a checkpoint
        found = [batch.captions.tokens for batch in rest]
        data.trainer = place(epoch=step // length + 1)
        found += [batch.captions.tokens for batch in loader]
        expected = sequence[step : (step // length + 2) * length]
        assert len(found) == len(expected)
        assert all(map(torch.equal, found, expected))


def test_the_trainer_knows_the_epoch(store_path: Path) -> None:
    """Also after an epoch of fewer batches (limit_train_batches) and when a fit begins again (a tuner)."""
    data = ScanDataModule(store_path, batch_size=7)
    loader = data.train_dataloader()
    epochs = [[batch.captions.caption_rows for batch in loader] for _ in range(3)]
    assert not torch.equal(epochs[0][0], epochs[1][0])
    data.trainer = place()  # type: ignore[assignment]
    loader = data.train_dataloader()
    for epoch in (0, 1, 1, 0, 2):
        data.trainer = place(epoch=epoch)
        batches = iter(loader)
        assert all(torch.equal(next(batches).captions.caption_rows, epochs[epoch][k]) for k in range(2))


def test_overfit_batches_repeats_the_first_epoch(store_path: Path) -> None:
    data = ScanDataModule(store_path, batch_size=7)
    expected = [batch.captions.caption_rows for batch in data.train_dataloader()]
    data.trainer = place(overfit_batches=2)
    loader = data.train_dataloader()
    for epoch in range(3):
        data.trainer = place(epoch=epoch)
        batches = iter(loader)
        assert all(torch.equal(next(batches).captions.caption_rows, expected[k]) for k in range(2))


def place(rank: int = 0, world: int = 1, *, epoch: int = 0, batch: int = 0, **more: Any) -> Any:
    """What the DataModule asks of a trainer in `fit`."""
    progress = SimpleNamespace(current=SimpleNamespace(ready=batch))
    return SimpleNamespace(
        global_rank=rank,
        world_size=world,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        state=SimpleNamespace(fn="fit"),
        current_epoch=epoch,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
        **more,
    )


def test_workers_give_what_one_process_gives(store_path: Path) -> None:
    found, expected = (
        [batch for loader in ScanDataModule(store_path, workers=workers).val_dataloader() for batch in loader]
        for workers in (2, 0)
    )
    assert [type(batch) for batch in found] == [ImageBatch, CaptionBatch]
    for one, other in zip(found, expected, strict=True):
        assert all(map(torch.equal, vars(one).values(), vars(other).values()))


def test_the_ranks_share_a_batch_smaller_than_their_number(store_path: Path) -> None:
    shares = []
    for rank in range(3):
        data = ScanDataModule(store_path, batch_size=2)
        data.trainer = place(rank, 3)
        shares.append(next(iter(data.train_dataloader())))
    assert [len(share) for share in shares] == [0, 1, 1]
    assert shares[0].images.regions.shape == (0, 1, 6)
    assert shares[0].images.regions.dtype == shares[1].images.regions.dtype
    assert shares[0].captions.tokens.shape == (0, 1)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_blocks_are_cut_by_index_and_taken_in_turn(store: Store, world: int) -> None:
    images = Images(store, store.image_rows("train"))
    parts = [BlockLoader(images, 4, rank=rank, world=world) for rank in range(world)]
    assert sum(len(part) for part in parts) == len(parts[0].blocks) == -(-len(images) // 4)
    batches = [iter(part) for part in parts]
    for number, items in enumerate(parts[0].blocks):
        batch = next(batches[number % world])
        expected = images.read(list(items))
        assert torch.equal(batch.regions, expected.regions)


def test_batches_know_their_rows_in_the_store(store_path: Path) -> None:
    data, store = ScanDataModule(store_path), Store(store_path)
    images, captions = (next(iter(loader)) for loader in data.val_dataloader())
    assert isinstance(images, ImageBatch)
    assert isinstance(captions, CaptionBatch)
    rows = [row for row, record in enumerate(records()) if record.split == "val"]
    assert images.image_rows.tolist() == rows
    assert captions.image_rows.tolist() == [row for row in rows for _ in records()[row].captions]
    texts = store.caption_text(captions.caption_rows.numpy())
    assert texts == [caption for _, caption in pairs_of("val")]
    pairs = next(iter(data.train_dataloader()))
    assert torch.equal(pairs.images.image_rows, pairs.captions.image_rows)
    assert store.caption_image[pairs.captions.caption_rows].tolist() == pairs.images.image_rows.tolist()
    regions, counts = store.read_regions(pairs.images.image_rows.numpy())
    assert np.array_equal(pairs.images.regions, regions)
    assert np.array_equal(pairs.images.counts, counts)


def of(split: str) -> list:  # type: ignore[type-arg]
    return [record for record in records() if record.split == split]


def test_a_models_vocabulary_decides_not_the_stores(store_path: Path) -> None:
    words = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "grass", "dog"])
    data = ScanDataModule(store_path, vocabulary=words)
    _, captions = data.test_dataloader()
    batch = next(iter(captions))
    assert isinstance(batch, CaptionBatch)
    known = [[words.id(word) for word in caption.lower().split()] for _, caption in pairs_of("test")]
    assert [row[: int(count)].tolist() for row, count in zip(batch.tokens, batch.counts, strict=True)] == [
        [START, *ids, END] for ids in known
    ]


class Letters:
    """A text encoder that reads letters, with marks of its own."""

    def tokenize(self, sentences: Sequence[str]) -> list[list[int]]:
        return [[99, *map(ord, sentence)] for sentence in sentences]


def test_the_text_encoder_of_the_module_tokenises(store_path: Path) -> None:
    data = ScanDataModule(store_path)
    model = SimpleNamespace(text_encoder=Letters())
    data.trainer = place(lightning_module=SimpleNamespace(model=model))
    for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        batch = next(iter(loader[1]))
        assert isinstance(batch, CaptionBatch)
        for row, (_, caption) in enumerate(pairs_of(split)):
            assert batch.tokens[row, : int(batch.counts[row])].tolist() == [99, *map(ord, caption)]


@pytest.mark.parametrize("own", [False, True])
def test_the_stores_tokens_are_used_where_they_are_those_of_the_encoder(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    words = Vocabulary([*SPECIALS, "grass", "dog"])
    expected = Vocabulary.tokenize(words, [caption for _, caption in pairs_of("val")])
    calls = []
    original = Vocabulary.tokenize
    monkeypatch.setattr(
        Vocabulary, "tokenize", lambda self, texts: (calls.append(len(texts)), original(self, texts))[1]
    )
    store = Store(store_path)
    if not own:
        monkeypatch.setattr(store, "tokenizer", "another")
    source = words if own else SimpleNamespace(vocabulary=words, tokenize=words.tokenize)
    tokens, counts = caption_tokens(store, store.caption_rows("val"), source).padded(np.arange(len(expected)))
    assert [row[:count].tolist() for row, count in zip(tokens, counts, strict=True)] == expected
    assert calls == ([] if own else [len(expected)])


def test_an_encoder_without_an_id_is_refused(store: Store) -> None:
    empty = SimpleNamespace(tokenize=lambda sentences: [[] for _ in sentences])
    with pytest.raises(ScanError, match=r"tokenize gave 2 lists for 2 sentences, 2 of them empty"):
        caption_tokens(store, np.arange(2), empty)


def test_a_split_that_is_not_there(store_path: Path) -> None:
    with pytest.raises(ScanError, match=r"no split 'testall'.*train .*val .*test"):
        ScanDataModule(store_path).sizes("testall")
    with pytest.raises(ValueError, match="test_split must be one of train, val, test, not 'testall'"):
        ScanDataModule(store_path, test_split="testall")  # type: ignore[arg-type]


def test_arguments_are_checked_and_described_by_the_signature(store_path: Path) -> None:
    for name, value in (("batch_size", 0), ("workers", -1), ("cache", "memory"), ("seed", "x")):
        with pytest.raises(ValueError, match=f"{name} must be "):
            ScanDataModule(store_path, **{name: value})
    options = options_of(ScanDataModule)
    assert all(option.meaning for option in options.values())
    assert list(options)[:4] == ["path", "batch_size", "workers", "cache"]


def test_caption_tokens_of_any_lengths() -> None:
    captions = [[], [5], [6, 7, 8], [], [9, 9]]
    tokens = CaptionTokens.from_lists([[START, *ids, END] for ids in captions])
    padded, counts = tokens.padded(np.array([2, 0, 4, 4, 1]))
    assert counts.tolist() == [5, 2, 4, 4, 3]
    assert padded.tolist() == [
        [1, 6, 7, 8, 2],
        [1, 2, 0, 0, 0],
        [1, 9, 9, 2, 0],
        [1, 9, 9, 2, 0],
        [1, 5, 2, 0, 0],
    ]
    assert tokens.padded(np.zeros(0, np.int64))[0].shape == (0, 1)


def test_a_batch_moves_as_one() -> None:
    images = ImageBatch(torch.ones(2, 1, 3), *torch.ones(2, 2, dtype=torch.int64).unbind())
    captions = CaptionBatch(*torch.ones(4, 2, dtype=torch.int64).unbind())
    batch = PairBatch(images, captions).to("meta")
    assert batch.images.regions.device.type == batch.captions.image_rows.device.type == "meta"
    assert len(batch) == 2


def test_batches_that_are_held_stay_what_they_are(store: Store) -> None:
    rows = np.random.default_rng(0).integers(0, store.image_count, 80)
    loader = BlockLoader(Images(store, rows), 4, workers=2)
    held = [batch for _ in range(2) for batch in loader]
    expected = [Images(store, rows).read(range(start, start + 4)) for start in range(0, 80, 4)] * 2
    assert all(torch.equal(one.regions, other.regions) for one, other in zip(held, expected, strict=True))


def test_an_iteration_given_up_harms_none_after_it(store: Store) -> None:
    loader = BlockLoader(images := Images(store, np.arange(20)), 4, workers=2)
    for stop in (1, 3, 2):
        for number, _ in enumerate(loader):
            if number == stop:
                break
    found = [batch.image_rows.tolist() for batch in loader]
    assert found == [images.rows[start : start + 4].tolist() for start in range(0, 20, 4)]


def test_a_killed_worker_is_reported(store: Store) -> None:
    batches = iter(loader := BlockLoader(Images(store, np.arange(20).repeat(8)), 4, workers=1))
    next(batches)
    os.kill(loader._batches._loader._iterator._workers[0].pid, signal.SIGKILL)  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(batches)


def test_an_error_in_a_worker_is_the_users_message(store_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "s.h5"
    copy.write_bytes(store_path.read_bytes())
    loader = BlockLoader(Images(Store(copy), np.arange(20)), 4, workers=1)
    with copy.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ScanError, match="overwritten while it was in use"):
        list(loader)
