import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loop_reference import similarity_matrix as judge
from retrieval.plain import plain_figures, plain_ranks
from retrieval.test_tiles import together
from scan_lightning.errors import ScanError
from scan_lightning.retrieval import score
from scan_lightning.retrieval.ranks import Ranks
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.score import Embeddings, Member, rank_members, rank_split
from scan_lightning.retrieval.tiles import Share
from scan_lightning.similarity import Attention, SumMax

RULES = [Attention("t2i", aggregation="mean"), Attention("i2t", smoothing=4.0, lse_scale=5.0), SumMax("i2t")]


def embeddings(items: int, longest: int, seed: int, dim: int = 8) -> Embeddings:
    draw = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, longest + 1, (items,), generator=draw)
    packed = torch.randn(int(counts.sum()), dim, generator=draw)
    return Embeddings(torch.nn.functional.normalize(packed, dim=1), counts)


def whole(images: Embeddings, captions: Embeddings, rule: object) -> torch.Tensor:
    """The similarity matrix by the reference, in float64."""
    cpu = torch.device("cpu")
    regions, region_counts = images.take(torch.arange(len(images)), cpu)
    words, word_counts = captions.take(torch.arange(len(captions)), cpu)
    return judge(regions.double(), words.double(), rule, region_counts=region_counts, word_counts=word_counts)


def gold(images: int, captions: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(images, (captions,), generator=torch.Generator().manual_seed(seed))


def assert_plain(ranks: Ranks, similarity: torch.Tensor, caption_image: torch.Tensor) -> None:
    i2t, t2i = plain_ranks(similarity.numpy(), caption_image.numpy())
    assert dict(zip(ranks.i2t_images.tolist(), ranks.i2t.tolist(), strict=True)) == i2t
    np.testing.assert_array_equal(ranks.t2i, t2i)
    np.testing.assert_array_equal(ranks.t2i_images, caption_image)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("budget", [None, 400_000, 30_000])
def test_ranks_equal_a_plain_sort_of_the_reference(rule: object, budget: int | None) -> None:
    """Captions in any order, some images without any, blocks of any size."""
    images, captions, caption_image = embeddings(23, 6, 1), embeddings(61, 9, 2), gold(23, 61)
    ranks = rank_split(images, captions, caption_image, rule, memory_budget=budget)
    assert_plain(ranks, whole(images, captions, rule), caption_image)


@settings(deadline=None, max_examples=25)
@given(
    images=st.integers(1, 12),
    captions=st.integers(1, 30),
    budget=st.integers(2_000, 900_000),
    seed=st.integers(0, 99),
)
def test_ties_rank_last_in_any_blocks(images: int, captions: int, budget: int, seed: int) -> None:
    """Sum-Max of small whole numbers is exact in any order of summation, and full of ties."""
    sides = [embeddings(images, 3, seed), embeddings(captions, 3, seed + 1)]
    for side in sides:
        side.packed.mul_(3).round_()
    caption_image = gold(images, captions, seed + 2)
    ranks = rank_split(*sides, caption_image, RULES[2], memory_budget=budget)
    assert_plain(ranks, whole(*sides, RULES[2]), caption_image)


def test_folds_are_consecutive_parts_ranked_apart() -> None:
    """The COCO 1K protocol: the mean over the folds of each figure."""
    images, captions = embeddings(20, 4, 3), embeddings(63, 5, 4)
    caption_image = torch.cat([torch.arange(20), gold(20, 43)])
    ranks = rank_split(images, captions, caption_image, RULES[0], folds=4, memory_budget=60_000, top_k=5)
    similarity = whole(images, captions, RULES[0])
    expected_t2i, expected_i2t = [], []
    for fold in range(4):
        chosen = (caption_image // 5 == fold).nonzero().squeeze(1)
        part = similarity[fold * 5 : fold * 5 + 5][:, chosen]
        i2t, t2i = plain_ranks(part.numpy(), caption_image[chosen].numpy() - fold * 5)
        np.testing.assert_array_equal(ranks.t2i[chosen], t2i)
        expected_t2i.append(plain_figures(t2i))
        expected_i2t.append(plain_figures(np.array(list(i2t.values()))))
        assert ranks.top is not None
        assert set(ranks.top.t2i[chosen].ravel().tolist()) <= set(range(fold * 5, fold * 5 + 5))
    metrics = RetrievalMetrics.from_ranks(ranks)
    for side, expected in ((metrics.i2t, expected_i2t), (metrics.t2i, expected_t2i)):
        np.testing.assert_allclose(
            [side.r1, side.r5, side.r10, side.medr, side.meanr], np.mean(expected, axis=0)
        )


def test_the_best_items_are_those_of_a_plain_sort() -> None:
    images, captions, caption_image = embeddings(9, 4, 5), embeddings(26, 5, 6), gold(9, 26, 1)
    ranks = rank_split(images, captions, caption_image, RULES[1], memory_budget=40_000, top_k=4)
    similarity = whole(images, captions, RULES[1]).numpy()
    assert ranks.top is not None
    np.testing.assert_array_equal(ranks.top.t2i, np.argsort(-similarity, axis=0)[:4].T)
    np.testing.assert_array_equal(ranks.top.i2t, np.argsort(-similarity, axis=1)[ranks.i2t_images, :4])
    np.testing.assert_allclose(ranks.top.t2i_scores, -np.sort(-similarity, axis=0)[:4].T, atol=1e-6)


def test_an_ensemble_averages_similarities_by_weight() -> None:
    caption_image = gold(14, 40)
    members = [
        Member(embeddings(14, 5, 7), embeddings(40, 6, 8), RULES[0], weight=1.0),
        Member(embeddings(14, 3, 9, dim=5), embeddings(40, 8, 10, dim=5), RULES[2], weight=3.0),
    ]
    mean = sum(m.weight / 4 * whole(m.images, m.captions, m.rule) for m in members)
    assert_plain(rank_members(members, caption_image, memory_budget=60_000), mean, caption_image)
    assert_plain(
        rank_members(members[:1], caption_image),
        whole(members[0].images, members[0].captions, RULES[0]),
        caption_image,
    )


@pytest.mark.parametrize("world_size", [2, 3])
def test_any_number_of_processes_gives_the_same_bits(world_size: int) -> None:
    images, captions, caption_image = embeddings(21, 4, 11), embeddings(52, 6, 12), gold(21, 52)
    members = [Member(images, captions, RULES[0])]
    alone = rank_members(members, caption_image, folds=3, memory_budget=60_000)

    def work(share: Share) -> Ranks:
        return rank_members(members, caption_image, folds=3, memory_budget=60_000, share=share)

    for ranks in together(world_size, work):
        assert isinstance(ranks, Ranks)
        np.testing.assert_array_equal(ranks.i2t, alone.i2t)
        np.testing.assert_array_equal(ranks.t2i, alone.t2i)


def test_the_whole_matrix_is_never_scored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles, padded embeddings included, stay within their parts of the budget, however large the split."""
    budget, largest = 2_000_000, {"regions": 0, "words": 0, "scores": 0}
    original = score.similarity_matrix

    def watched(regions: torch.Tensor, words: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        result = original(regions, words, *args, **kwargs)
        for name, tensor in (("regions", regions), ("words", words), ("scores", result)):
            largest[name] = max(largest[name], tensor.nbytes)
        assert kwargs["memory_budget"] == budget // 2
        return result

    monkeypatch.setattr(score, "similarity_matrix", watched)
    rank_split(
        embeddings(80, 5, 13, dim=512),
        embeddings(240, 7, 14, dim=512),
        gold(80, 240),
        RULES[2],
        memory_budget=budget,
    )
    assert largest["regions"] <= budget / 8
    assert largest["words"] <= budget / 8
    assert largest["scores"] <= budget / 32
    assert largest["scores"] < 80 * 240 * 4 / 20


def test_user_faults_are_named() -> None:
    images, captions = embeddings(6, 3, 15), embeddings(12, 3, 16)
    caption_image = torch.arange(12) // 4  # images 3 to 5 have no caption
    with pytest.raises(ScanError, match=r"folds=4 does not divide the split's 6 images"):
        rank_split(images, captions, caption_image, RULES[0], folds=4)
    with pytest.raises(ScanError, match="fold 2 of 2 has no caption"):
        rank_split(images, captions, caption_image, RULES[0], folds=2)
    images.packed[3] = torch.nan
    with pytest.raises(ScanError, match="is NaN"):
        rank_split(images, captions, caption_image, RULES[0])


def test_sizes_that_do_not_fit_are_refused() -> None:
    images, captions = embeddings(6, 3, 15), embeddings(12, 3, 16)
    with pytest.raises(ValueError, match=r"expected \(12,\)"):
        rank_split(images, captions, torch.zeros(11, dtype=torch.int64), RULES[0])
    with pytest.raises(ValueError, match="no member"):
        rank_members([], torch.zeros(12, dtype=torch.int64))
    with pytest.raises(ValueError, match="differ"):
        rank_members(
            [Member(images, captions, RULES[0]), Member(captions, captions, RULES[0])], torch.zeros(12).long()
        )
    with pytest.raises(ValueError, match="weight is -1"):
        rank_members([Member(images, captions, RULES[0], weight=-1)], torch.zeros(12).long())


def test_progress_shows_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    rank_split(embeddings(6, 3, 15), embeddings(12, 3, 16), gold(6, 12), RULES[0], progress=True)
    shown = capsys.readouterr()
    assert "ranking: 72 of 72 pairs" in shown.err
    assert "pairs/s, 0 s left" in shown.err
    assert shown.out == ""
