"""Embeddings collected in any order, by one or several processes, against a plain dictionary of them."""

import errno
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from scan_lightning.errors import ScanError
from scan_lightning.retrieval import embedding_store
from scan_lightning.retrieval.embedding_store import EmbeddingStore
from scan_lightning.retrieval.embeddings import Embeddings
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.score import rank_split
from scan_lightning.similarity import Attention

sys.path.insert(0, str(Path(__file__).parents[1] / "ddp"))
from processes import in_processes

CPU, DIM = torch.device("cpu"), 6
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def item(number: int) -> torch.Tensor:
    """The rows of an item, 1 to 5 of them, the same wherever it is encoded."""
    draw = torch.Generator().manual_seed(number)
    return torch.randn(1 + number * 7 % 5, DIM, generator=draw)


def batch(ids: list[int]) -> Batch:
    """The items of a batch, NaN in the padding."""
    rows = [item(number) for number in ids]
    counts = torch.tensor([len(each) for each in rows], dtype=torch.int64)
    padded = torch.full((len(ids), max(counts.tolist()), DIM), torch.nan)
    for place, each in enumerate(rows):
        padded[place, : len(each)] = each
    return torch.tensor(ids, dtype=torch.int64), padded, counts


def assert_holds(found: tuple[torch.Tensor, Embeddings], expected: set[int]) -> None:
    ids, embeddings = found
    assert ids.tolist() == sorted(expected)
    assert len(embeddings) == len(expected)
    for place, number in enumerate(ids.tolist()):
        (rows,), (count,) = embeddings.take(torch.tensor([place]), CPU)
        torch.testing.assert_close(rows[:count], item(number), rtol=0, atol=0)
    padded, counts = embeddings.take(torch.arange(len(ids)).flip(0), CPU)
    assert counts.tolist() == [len(item(number)) for number in reversed(ids.tolist())]
    assert not padded.isnan().any()


@pytest.mark.parametrize("memory_limit", [None, 0, 2_000])
def test_items_in_any_order_come_back_sorted(tmp_path: Path, memory_limit: int | None) -> None:
    """In memory, in a file from the start, and moved to one on the way."""
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0)).tolist()
    store = EmbeddingStore(DIM, tmp_path, memory_limit=memory_limit)
    for start in range(0, 300, 17):
        store.add(*batch(order[start : start + 17]))
    assert len(store) == 300
    assert list(tmp_path.iterdir()) == []  # the file has no name that could be left behind
    assert_holds(store.finish(), set(range(300)))
    store.add(*batch([4, 2]))  # finish leaves an empty store
    assert_holds(store.finish(), {2, 4})


def test_repeated_items_are_kept_once(tmp_path: Path) -> None:
    store = EmbeddingStore(DIM, tmp_path)
    for ids in ([9, 3, 9], [3], [1, 9, 1]):
        store.add(*batch(ids))
    ids, embeddings = store.finish()
    assert len(embeddings.packed) == sum(len(item(number)) for number in (1, 3, 9))
    assert_holds((ids, embeddings), {1, 3, 9})


def test_an_empty_store_gives_no_items(tmp_path: Path) -> None:
    ids, embeddings = EmbeddingStore(DIM, tmp_path).finish()
    assert (ids.tolist(), len(embeddings)) == ([], 0)


def test_half_precision_is_stored_as_float32(tmp_path: Path) -> None:
    store = EmbeddingStore(DIM, tmp_path)
    store.add(torch.tensor([0]), torch.ones(1, 2, DIM, dtype=torch.bfloat16), torch.tensor([2]))
    assert store.finish()[1].packed.dtype == torch.float32


def test_a_full_disk_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ScanError, match=r"no space for the embeddings, 0\.0 GiB \(No space left on device\)"):
        EmbeddingStore(DIM, tmp_path, memory_limit=0).add(*batch([1]))


PARTS = [[[5, 0, 8], [2]], [[7, 1], [3, 8, 0]], []]  # 0 and 8 twice; the third process has none


def exchanged(folder: Path) -> tuple[torch.Tensor, Embeddings]:
    store = EmbeddingStore(DIM, folder)
    for ids in PARTS[dist.get_rank()]:
        rows, padded, counts = batch(ids)
        store.add(rows, padded, counts)
    store.exchange()
    return store.finish()


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("chunk_bytes", [50, 2**26])
def test_every_process_gets_all_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: int, chunk_bytes: int
) -> None:
    monkeypatch.setattr(embedding_store, "CHUNK_BYTES", chunk_bytes)
    for found in in_processes(world, exchanged, tmp_path):
        assert_holds(found, {0, 1, 2, 3, 5, 7, 8})


def first_rank_wins(folder: Path) -> torch.Tensor:
    store, rank = EmbeddingStore(DIM, folder), dist.get_rank()
    store.add(torch.tensor([3, rank]), torch.full((2, 1, DIM), float(rank)), torch.tensor([1, 1]))
    store.exchange()
    return store.finish()[1].take(torch.arange(3), CPU)[0][:, 0, 0]


def test_processes_that_disagree_about_an_item_keep_the_same_one(tmp_path: Path) -> None:
    for values in in_processes(2, first_rank_wins, tmp_path):
        assert values.tolist() == [0.0, 1.0, 0.0]


def ranked(folder: Path, world: int) -> Ranks:
    """14 images and 40 captions in shuffled batches of 4, dealt to the processes in turn."""
    rank = dist.get_rank() if world > 1 else 0
    sides = []
    for offset, size in ((0, 14), (100, 40)):
        order = (offset + torch.randperm(size, generator=torch.Generator().manual_seed(size))).tolist()
        store = EmbeddingStore(DIM, folder)
        for start in range(4 * rank, size, 4 * world):
            store.add(*batch(order[start : start + 4]))
        store.exchange()
        sides.append(store.finish()[1])
    reduce = _sum if world > 1 else lambda tensor: tensor
    return rank_split(
        *sides,
        torch.arange(40) % 14,
        Attention("t2i"),
        rank=rank,
        world_size=world,
        all_reduce=reduce,
        top_k=3,
    )


def _sum(tensor: torch.Tensor) -> torch.Tensor:
    dist.all_reduce(tensor)
    return tensor


def test_ranks_are_the_same_bits_for_any_number_of_processes(tmp_path: Path) -> None:
    alone = ranked(tmp_path, 1)
    for ranks in in_processes(2, ranked, tmp_path, 2):
        assert ranks.t2i.tolist() == alone.t2i.tolist()
        assert ranks.i2t.tolist() == alone.i2t.tolist()
        assert ranks.top.t2i_scores.tolist() == alone.top.t2i_scores.tolist()
