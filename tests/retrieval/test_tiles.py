import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.plain import plain_ranks
from scan_lightning.errors import ScanError
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.tiles import Share, Span, Tile, plan_tiles, rank_tiles


class Matrix:
    """A score function over a given matrix, with a count of what was asked."""

    def __init__(self, similarity: torch.Tensor) -> None:
        self.similarity = similarity
        self.asked: list[Tile] = []

    def __call__(self, tile: Tile) -> torch.Tensor:
        self.asked.append(tile)
        return self.similarity[slice(*tile.images), slice(*tile.captions)].clone()


def cut(total: int, sizes: list[int]) -> list[Span]:
    """Uneven runs: the sizes in turn until the total is reached."""
    spans, start = [], 0
    while start < total:
        stop = min(total, start + sizes[len(spans) % len(sizes)])
        spans.append((start, stop))
        start = stop
    return spans


def together(world_size: int, work: Callable[[Share], Ranks]) -> list[Ranks | BaseException]:
    """Run `work` in as many threads as there are processes, with a sum over them."""
    slots: dict[int, torch.Tensor] = {}
    barrier = threading.Barrier(world_size, timeout=60)
    results: list[Ranks | BaseException] = [RuntimeError()] * world_size

    def run(rank: int) -> None:
        def all_reduce(tensor: torch.Tensor) -> torch.Tensor:
            slots[rank] = tensor
            barrier.wait()
            total = torch.stack([slots[r] for r in range(world_size)]).sum(0)
            barrier.wait()
            return total

        try:
            results[rank] = work(Share(rank, world_size, all_reduce))
        except ScanError as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def assert_plain(ranks: Ranks, similarity: torch.Tensor, caption_image: torch.Tensor) -> None:
    i2t, t2i = plain_ranks(similarity.double().numpy(), caption_image.numpy())
    assert dict(zip(ranks.i2t_images.tolist(), ranks.i2t.tolist(), strict=True)) == i2t
    np.testing.assert_array_equal(ranks.t2i, t2i)


@settings(deadline=None, max_examples=60)
@given(
    images=st.integers(1, 9),
    captions=st.integers(1, 25),
    levels=st.sampled_from([1, 3, 1000]),
    image_sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    caption_sizes=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    keep=st.sampled_from([0, 40, 10_000]),
    seed=st.integers(0, 2**31),
)
def test_any_tiles_give_the_plain_ranks_and_lists(
    images: int,
    captions: int,
    levels: int,
    image_sizes: list[int],
    caption_sizes: list[int],
    keep: int,
    seed: int,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    similarity = torch.randint(levels, (images, captions), generator=draw) / 7 - 0.2
    gold = torch.randint(images, (captions,), generator=draw).sort().values
    tiles = plan_tiles(cut(images, image_sizes), cut(captions, caption_sizes), gold)
    ranks = rank_tiles(Matrix(similarity), tiles, gold, images, keep_bytes=keep, top_k=3)
    assert_plain(ranks, similarity, gold)
    assert ranks.top is not None
    order = np.lexsort((np.arange(images)[:, None].repeat(captions, 1), -similarity.numpy()), axis=0)[:3].T
    np.testing.assert_array_equal(ranks.top.t2i[:, : order.shape[1]], order)
    assert (ranks.top.t2i[:, order.shape[1] :] == -1).all()
    order = np.argsort(-similarity.numpy()[ranks.i2t_images], axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(ranks.top.i2t[:, : order.shape[1]], order)


def test_tiles_without_gold_pairs_are_scored_once_and_kept_ones_too() -> None:
    similarity = torch.randn(20, 100)
    gold = torch.arange(20).repeat_interleave(5)
    tiles = plan_tiles(cut(20, [5]), cut(100, [25]), gold)
    assert [tile.gold for tile in tiles] == [i == j for i in range(4) for j in range(4)]
    thrifty, plain = Matrix(similarity), Matrix(similarity)
    rank_tiles(plain, tiles, gold, 20)
    rank_tiles(thrifty, tiles, gold, 20, keep_bytes=10**9)
    assert len(plain.asked) == 16 + 4
    assert sorted(thrifty.asked, key=tiles.index) == tiles


def test_the_bar_moves_by_every_pair_once() -> None:
    moved: list[int] = []
    gold = torch.arange(6)
    tiles = plan_tiles(cut(6, [4]), cut(6, [3, 1]), gold)
    rank_tiles(Matrix(torch.randn(6, 6)), tiles, gold, 6, advance=moved.append)
    assert sum(moved) == 36


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_processes_in_turn_give_the_ranks_of_one(world_size: int) -> None:
    """More processes than gold tiles too; ties everywhere."""
    draw = torch.Generator().manual_seed(4)
    similarity = torch.randint(4, (11, 37), generator=draw) / 7
    gold = torch.randint(11, (37,), generator=draw).sort().values
    tiles = plan_tiles(cut(11, [4, 2]), cut(37, [9, 5]), gold)
    alone = rank_tiles(Matrix(similarity), tiles, gold, 11, top_k=4)
    assert_plain(alone, similarity, gold)
    scores = [Matrix(similarity) for _ in range(world_size)]
    shared = together(
        world_size, lambda share: rank_tiles(scores[share.rank], tiles, gold, 11, top_k=4, share=share)
    )
    for ranks in shared:
        assert isinstance(ranks, Ranks)
        assert ranks.top is not None
        assert alone.top is not None
        np.testing.assert_array_equal(ranks.i2t, alone.i2t)
        np.testing.assert_array_equal(ranks.t2i, alone.t2i)
        for name in ("i2t", "t2i", "i2t_scores", "t2i_scores"):
            np.testing.assert_array_equal(getattr(ranks.top, name), getattr(alone.top, name))
    asked = [set(matrix.asked) for matrix in scores]
    assert sum(map(len, asked)) == len(tiles) == len(set.union(*asked))
    assert max(map(len, asked)) - min(map(len, asked)) <= 2


@pytest.mark.parametrize("where", [(0, 0), (2, 11)])
def test_nan_ends_every_process_with_a_message(where: tuple[int, int]) -> None:
    """In a tile with gold pairs (first pass) and in one without (second pass)."""
    similarity = torch.randn(4, 12)
    similarity[where] = torch.nan
    gold = torch.arange(4).repeat_interleave(3)
    tiles = plan_tiles(cut(4, [2]), cut(12, [3]), gold)
    with pytest.raises(ScanError, match=f"image {where[0]} and caption {where[1]} .* is NaN"):
        rank_tiles(Matrix(similarity), tiles, gold, 4)
    for outcome in together(2, lambda share: rank_tiles(Matrix(similarity), tiles, gold, 4, share=share)):
        assert isinstance(outcome, ScanError)
        assert "NaN" in str(outcome)
