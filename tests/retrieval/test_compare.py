from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.test_statistics import random_ranks
from scan_lightning.errors import ScanError
from scan_lightning.retrieval.paired import compare
from scan_lightning.retrieval.queries import FILE, Queries, pack_queries, read_queries
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.score import Embeddings, rank_split
from scan_lightning.similarity import SumMax


def queries(ranks: Ranks) -> Queries:
    ids = [f"img{index}.jpg" for index in range(ranks.image_count)]
    captions = [f"caption {index // 2} of ü" for index in range(len(ranks.t2i))]  # some are equal
    return Queries("test", ranks, ids, captions)


def shuffled(found: Queries, seed: int = 5) -> Queries:
    """The same run on a store that holds images and captions in another order."""
    draw = np.random.default_rng(seed)
    images, captions = draw.permutation(len(found.image_ids)), draw.permutation(len(found.captions))
    new_number = np.argsort(images)
    moved = new_number[found.ranks.i2t_images]
    order = np.argsort(moved)
    ranks = replace(
        found.ranks,
        i2t=found.ranks.i2t[order],
        i2t_images=moved[order],
        t2i=found.ranks.t2i[captions],
        t2i_images=new_number[found.ranks.t2i_images][captions],
    )
    return Queries("test", ranks, [found.image_ids[i] for i in images], [found.captions[c] for c in captions])


def test_ranks_come_back_from_their_file(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    sides = [Embeddings(torch.randn(n, 4, generator=draw), torch.ones(n, dtype=torch.int64)) for n in (6, 12)]
    ranks = rank_split(*sides, torch.arange(12) % 6, SumMax("t2i"), folds=2, top_k=2)
    kept = queries(ranks)
    (tmp_path / FILE).write_bytes(pack_queries(kept))
    for source in (tmp_path, tmp_path / FILE):
        found = read_queries(source)
        assert (found.split, found.image_ids, found.captions) == ("test", kept.image_ids, kept.captions)
        assert (found.ranks.folds, found.ranks.image_count) == (2, 6)
        for name in ("i2t", "i2t_images", "t2i", "t2i_images", "t2i_captions"):
            np.testing.assert_array_equal(getattr(found.ranks, name), getattr(ranks, name))
        assert found.ranks.top is not None
        assert ranks.top is not None
        np.testing.assert_array_equal(found.ranks.top.t2i, ranks.top.t2i)


def test_files_that_are_no_ranks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"there is no ranks.npz in it; expected .*scan-lightning evaluate"):
        read_queries(tmp_path)
    whole = pack_queries(queries(random_ranks()))
    for content in (b"", b"words", whole[: len(whole) // 2]):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(ScanError, match=r"ranks\.npz: is damaged"):
            read_queries(tmp_path)
    np.savez(tmp_path / FILE, version=2)
    with pytest.raises(ScanError, match="version 2"):
        read_queries(tmp_path)


def test_the_difference_is_paired() -> None:
    """B finds 5 points more; a recall itself moves by 5, their paired difference by 2."""
    hit_a = np.random.default_rng(0).random(400) < 0.5
    missed = np.flatnonzero(~hit_a)[:20]
    hit_b = hit_a.copy()
    hit_b[missed] = True
    a, b = (
        queries(Ranks(np.where(h, 0, 30), np.arange(400), np.where(h, 0, 30), *[np.arange(400)] * 2, 400))
        for h in (hit_a, hit_b)
    )
    found = compare(a, b)
    np.testing.assert_allclose(found.difference[:6], 5)
    assert found.low[0] > 2.5
    assert found.high[0] < 8
    assert found.counts("t2i") == (20, 380, 0)
    assert {c.image for c in found.changes[:40]} == {f"img{index}.jpg" for index in missed}
    assert found.changes[0].rank_a == 31
    assert found.changes[0].rank_b == 1
    assert found.changes[0].octaves == pytest.approx(np.log2(31))


def test_a_store_in_another_order_changes_nothing() -> None:
    a, b = queries(random_ranks()), queries(replace(random_ranks(), t2i=random_ranks().t2i * 2))
    straight, crossed = compare(a, b), compare(a, shuffled(b))
    np.testing.assert_array_equal(straight.difference, crossed.difference)
    np.testing.assert_array_equal(straight.low, crossed.low)
    by_rank = [
        sorted((c.direction, c.image, c.rank_a, c.rank_b) for c in run.changes) for run in (straight, crossed)
    ]
    assert by_rank[0] == by_rank[1]


def test_runs_on_other_queries_are_refused() -> None:
    a = queries(random_ranks())
    renamed = replace(a, image_ids=["other.jpg", *a.image_ids[1:]])
    with pytest.raises(ScanError, match="2 images are in one of them only"):
        compare(a, renamed)
    with pytest.raises(ScanError, match="2 captions are in one of them only"):
        compare(a, replace(a, captions=["other", *a.captions[1:]]))
    with pytest.raises(ScanError, match="1 and 4 folds"):
        compare(a, queries(random_ranks(folds=4)))
    with pytest.raises(ScanError, match="another order"):
        compare(queries(random_ranks(folds=4)), shuffled(queries(random_ranks(folds=4))))
