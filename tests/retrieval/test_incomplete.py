"""Ranks over a part of a split: captions whose image is missing, images whose captions are missing."""

import numpy as np
import pytest
import torch

from retrieval.plain import plain_figures
from retrieval.test_score import RULES, embeddings, whole
from retrieval.test_tiles import together
from scan_lightning.errors import ScanError
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.score import Member, rank_members, rank_split
from scan_lightning.retrieval.tiles import Share

IMAGES, CAPTIONS = 19, 57


def incomplete_gold(seed: int) -> torch.Tensor:
    """Captions in any order: a third lack their image, images 0, 7 and 18 have none of theirs."""
    draw = torch.Generator().manual_seed(seed)
    gold = torch.randint(1, IMAGES - 1, (CAPTIONS,), generator=draw)
    gold[gold == 7] = -1
    gold[torch.randperm(CAPTIONS, generator=draw)[: CAPTIONS // 3]] = -1
    return gold


def plain_incomplete(similarity: np.ndarray, gold: np.ndarray) -> tuple[dict[int, int], dict[int, int]]:
    """{image: rank} and {caption: rank}, by counting in Python."""
    i2t, t2i = {}, {}
    for image in range(len(similarity)):
        own = [similarity[image, c] for c in range(len(gold)) if gold[c] == image]
        if own:
            i2t[image] = sum(similarity[image, c] >= max(own) for c in range(len(gold)) if gold[c] != image)
    for caption in range(len(gold)):
        if gold[caption] >= 0:
            right = similarity[gold[caption], caption]
            others = [i for i in range(len(similarity)) if i != gold[caption]]
            t2i[caption] = sum(similarity[i, caption] >= right for i in others)
    return i2t, t2i


def assert_incomplete(ranks: Ranks, similarity: np.ndarray, gold: np.ndarray) -> None:
    i2t, t2i = plain_incomplete(similarity, gold)
    assert dict(zip(ranks.i2t_images.tolist(), ranks.i2t.tolist(), strict=True)) == i2t
    assert dict(zip(ranks.t2i_captions.tolist(), ranks.t2i.tolist(), strict=True)) == t2i
    np.testing.assert_array_equal(ranks.t2i_images, gold[ranks.t2i_captions])
    assert (ranks.images, ranks.captions) == (len(i2t), len(t2i))


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("budget", [None, 300_000, 25_000])
def test_items_without_a_right_answer_are_candidates_only(rule: object, budget: int | None) -> None:
    images, captions, gold = embeddings(IMAGES, 6, 1), embeddings(CAPTIONS, 9, 2), incomplete_gold(3)
    ranks = rank_split(images, captions, gold, rule, memory_budget=budget, top_k=4)
    similarity = whole(images, captions, rule).numpy()
    assert_incomplete(ranks, similarity, gold.numpy())
    metrics = RetrievalMetrics.from_ranks(ranks)
    i2t, t2i = (np.array(list(side.values())) for side in plain_incomplete(similarity, gold.numpy()))
    assert (metrics.images, metrics.captions) == (len(i2t), len(t2i))
    for side, expected in ((metrics.i2t, i2t), (metrics.t2i, t2i)):
        figures = [side.r1, side.r5, side.r10, side.medr, side.meanr]
        np.testing.assert_allclose(figures, plain_figures(expected))
    assert ranks.top is not None
    np.testing.assert_array_equal(ranks.top.i2t, np.argsort(-similarity, axis=1)[ranks.i2t_images, :4])
    np.testing.assert_array_equal(ranks.top.t2i, np.argsort(-similarity, axis=0)[:4].T[ranks.t2i_captions])


def test_ties_with_candidates_of_no_image_count_against_a_query() -> None:
    """Sum-Max of small whole numbers: full of ties, exact in any order of summation."""
    sides = [embeddings(IMAGES, 3, 4), embeddings(CAPTIONS, 3, 5)]
    for side in sides:
        side.packed.mul_(3).round_()
    gold = incomplete_gold(6)
    ranks = rank_split(*sides, gold, RULES[2], memory_budget=20_000)
    assert_incomplete(ranks, whole(*sides, RULES[2]).numpy(), gold.numpy())


@pytest.mark.parametrize("world_size", [2, 5])
def test_any_number_of_processes_ranks_an_incomplete_split_alike(world_size: int) -> None:
    images, captions, gold = embeddings(IMAGES, 4, 7), embeddings(CAPTIONS, 6, 8), incomplete_gold(9)
    members = [Member(images, captions, RULES[0])]
    alone = rank_members(members, gold, memory_budget=40_000, top_k=3)

    def work(share: Share) -> Ranks:
        return rank_members(members, gold, memory_budget=40_000, top_k=3, share=share)

    for ranks in together(world_size, work):
        assert isinstance(ranks, Ranks)
        for name in ("i2t", "i2t_images", "t2i", "t2i_images", "t2i_captions"):
            np.testing.assert_array_equal(getattr(ranks, name), getattr(alone, name))
        for name in ("i2t", "t2i", "i2t_scores", "t2i_scores"):
            np.testing.assert_array_equal(getattr(ranks.top, name), getattr(alone.top, name))


def test_a_caption_without_its_image_is_a_candidate_in_every_fold() -> None:
    images, captions = embeddings(6, 4, 10), embeddings(15, 5, 11)
    gold = torch.tensor([0, -1, 1, 2, 3, -1, 4, 5, 5, 0, -1, 3, 2, 1, 4])
    ranks = rank_split(images, captions, gold, RULES[0], folds=2, memory_budget=30_000)
    similarity = whole(images, captions, RULES[0]).numpy()
    for fold in range(2):
        chosen = np.flatnonzero((gold // 3 == fold) | (gold < 0))
        local = np.where(gold[chosen] < 0, -1, gold[chosen] - 3 * fold)
        i2t, t2i = plain_incomplete(similarity[3 * fold : 3 * fold + 3][:, chosen], local)
        part = ranks.fold(fold)
        found = dict(zip((part.i2t_images - 3 * fold).tolist(), part.i2t.tolist(), strict=True))
        assert found == i2t
        found = dict(zip(part.t2i_captions.tolist(), part.t2i.tolist(), strict=True))
        assert found == {int(chosen[caption]): rank for caption, rank in t2i.items()}


@pytest.mark.parametrize(("images", "captions"), [(4, 6), (0, 6), (4, 0)])
def test_no_query_is_a_message(images: int, captions: int) -> None:
    sides = [embeddings(images, 3, 12), embeddings(captions, 3, 13)]
    with pytest.raises(ScanError, match=f"none of the {captions} encoded captions .* the {images} encoded"):
        rank_split(*sides, torch.full((captions,), -1), RULES[0])


def test_an_image_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="holds -2, but the images are 0 to 3"):
        rank_split(embeddings(4, 3, 14), embeddings(3, 3, 15), torch.tensor([0, -2, 1]), RULES[0])
