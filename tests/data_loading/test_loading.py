"""Batches against the records they were made from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from loading_records import records

from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch
from scan_lightning.data.buffers import Buffers
from scan_lightning.data.captions import CaptionTokens
from scan_lightning.data.datamodule import PairData
from scan_lightning.data.loading import BlockLoader, Images
from scan_lightning.data.order import permutation
from scan_lightning.data.store import Store
from scan_lightning.data.text import END, PAD, START, UNK, Vocabulary
from scan_lightning.errors import ScanError


def pairs_of(split: str) -> list[tuple[np.ndarray, str]]:
    """(features, caption) of every caption of a split, in the store's order."""
    return [
        (record.features, caption)
        for record in records()
        if record.split == split
        for caption in record.captions
    ]


def test_a_training_batch_holds_its_pairs(store_path: Path) -> None:
    data = PairData(store_path, batch_size=8, seed=5, word_threshold=2)
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
    data = PairData(store_path, word_threshold=2)
    assert "dog" in data.vocabulary.words
    assert not any(word.startswith("rare") for word in data.vocabulary.words)
    batch = next(iter(data.train_dataloader()))
    assert (batch.captions.tokens == UNK).any()


@pytest.mark.parametrize("workers", [0, 2])
def test_from_any_step_on_the_batches_are_those_of_the_unbroken_loader(
    store_path: Path, workers: int
) -> None:
    data = PairData(store_path, batch_size=7, workers=workers)
    whole = data.train_dataloader()
    sequence = [batch.captions.tokens for _ in range(2) for batch in whole]
    for step in (0, 1, len(whole), 2 * len(whole) - 1):
        loader = data.train_dataloader()
        rest = iter(loader)
        loader.load_state_dict({"step": step})  # Lightning restores after it has called iter()
        found = [batch.captions.tokens for batch in rest]
        expected = sequence[step : (step // len(whole) + 1) * len(whole)]
        assert len(found) == len(expected)
        assert all(map(torch.equal, found, expected))
        assert loader.state_dict() == {"step": (step // len(whole) + 1) * len(whole)}


def test_workers_give_what_one_process_gives(store_path: Path) -> None:
    found, expected = (
        [batch for loader in PairData(store_path, workers=workers).val_dataloader() for batch in loader]
        for workers in (2, 0)
    )
    assert [type(batch) for batch in found] == [ImageBatch, CaptionBatch]
    for one, other in zip(found, expected, strict=True):
        assert all(map(torch.equal, vars(one).values(), vars(other).values()))


def test_the_ranks_share_a_batch_smaller_than_their_number(store_path: Path) -> None:
    shares = []
    for rank in range(3):
        data = PairData(store_path, batch_size=2)
        place = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(global_rank=rank, world_size=3, strategy=place)  # type: ignore[assignment]
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
        expected = images.read(list(items), Buffers())
        assert torch.equal(batch.regions, expected.regions)


def test_captions_know_their_image_within_the_split(store_path: Path) -> None:
    data = PairData(store_path)
    images, captions = (next(iter(loader)) for loader in data.val_dataloader())
    assert isinstance(captions, CaptionBatch)
    expected = [row for row, record in enumerate(of("val")) for _ in record.captions]
    assert captions.images.tolist() == expected
    assert len(images) == len(of("val"))


def of(split: str) -> list:  # type: ignore[type-arg]
    return [record for record in records() if record.split == split]


def test_a_models_vocabulary_decides_not_the_stores(store_path: Path) -> None:
    words = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "grass", "dog"])
    data = PairData(store_path, vocabulary=words, tokenizer="spacy-en-lower", validation="test")
    _, captions = data.val_dataloader()
    batch = next(iter(captions))
    assert isinstance(batch, CaptionBatch)
    known = [[words.id(word) for word in caption.lower().split()] for _, caption in pairs_of("test")]
    assert [row[: int(count)].tolist() for row, count in zip(batch.tokens, batch.counts, strict=True)] == [
        [START, *ids, END] for ids in known
    ]


def test_a_model_with_another_tokeniser_reads_the_text_again(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = SimpleNamespace(tokenize=lambda texts: (list(text) for text in texts))
    monkeypatch.setattr("scan_lightning.data.captions.tokenizer", {"letters": letters}.__getitem__)
    words = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "d", "o", "g"])
    data = PairData(store_path, vocabulary=words, tokenizer="letters")
    batch = next(iter(data.val_dataloader()[1]))
    assert isinstance(batch, CaptionBatch)
    first = pairs_of("val")[0][1]
    assert batch.tokens[0, : len(first) + 2].tolist() == [1, *(words.id(letter) for letter in first), 2]


def test_a_split_that_is_not_there(store_path: Path) -> None:
    with pytest.raises(ScanError, match=r"no split 'testall'.*train .*val .*test"):
        PairData(store_path, validation="testall").val_dataloader()


def test_caption_tokens_of_any_lengths() -> None:
    captions = [[], [5], [6, 7, 8], [], [9, 9]]
    tokens = CaptionTokens([np.array(ids, np.int32) for ids in captions])
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
    images = ImageBatch(torch.ones(2, 1, 3), torch.ones(2, dtype=torch.int64))
    captions = CaptionBatch(*torch.ones(3, 2, dtype=torch.int64).unbind())
    batch = PairBatch(images, captions).to("meta")
    assert batch.images.regions.device.type == batch.captions.images.device.type == "meta"
    assert len(batch) == 2
