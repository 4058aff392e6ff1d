import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.plain import plain_figures, plain_ranks
from scan_lightning.retrieval.ranks import rank_matrix
from scan_lightning.retrieval.recall import RetrievalMetrics, recall


def assert_ranks(similarity: torch.Tensor, caption_image: torch.Tensor) -> None:
    ranks = rank_matrix(similarity, caption_image)
    i2t, t2i = plain_ranks(similarity.double().numpy(), caption_image.numpy())
    assert dict(zip(ranks.i2t_images.tolist(), ranks.i2t.tolist(), strict=True)) == i2t
    np.testing.assert_array_equal(ranks.t2i, t2i)


@settings(deadline=None, max_examples=60)
@given(
    images=st.integers(1, 9),
    captions=st.integers(1, 20),
    levels=st.integers(1, 6),  # few distinct scores: many ties
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
)
def test_ranks_equal_a_plain_sort(
    images: int, captions: int, levels: int, seed: int, dtype: torch.dtype
) -> None:
    draw = torch.Generator().manual_seed(seed)
    similarity = (torch.randint(levels, (images, captions), generator=draw) / 7 - 0.3).to(dtype)
    caption_image = torch.randint(images, (captions,), generator=draw)  # any order; some images have none
    assert_ranks(similarity, caption_image)


def test_ranks_of_continuous_scores() -> None:
    draw = torch.Generator().manual_seed(1)
    assert_ranks(torch.randn(40, 130, generator=draw), torch.randint(40, (130,), generator=draw))


def test_all_ties_rank_last() -> None:
    """A model that gives every pair one score finds nothing."""
    caption_image = torch.arange(12).repeat_interleave(5)
    metrics = recall(torch.zeros(12, 60), caption_image)
    assert (metrics.t2i.r10, metrics.t2i.medr, metrics.t2i.meanr) == (0, 12, 12)  # below the 11 wrong images
    assert (metrics.i2t.r10, metrics.i2t.medr, metrics.i2t.meanr) == (
        0,
        56,
        56,
    )  # below the 55 wrong captions


def test_an_image_without_captions_distracts_only() -> None:
    similarity = torch.tensor([[0.5, 0.4], [0.9, 0.1]])
    ranks = rank_matrix(similarity, torch.tensor([0, 0]))
    assert ranks.i2t_images.tolist() == [0]
    assert ranks.i2t.tolist() == [0]
    assert ranks.t2i.tolist() == [1, 0]


def test_figures_equal_the_released_formulas() -> None:
    draw = torch.Generator().manual_seed(2)
    similarity = torch.randn(30, 150, generator=draw)
    caption_image = torch.arange(30).repeat_interleave(5)
    similarity[caption_image, torch.arange(150)] += 1.5
    metrics = recall(similarity, caption_image)
    i2t, t2i = plain_ranks(similarity.double().numpy(), caption_image.numpy())
    for side, ranks in ((metrics.i2t, np.array(list(i2t.values()))), (metrics.t2i, t2i)):
        np.testing.assert_allclose([side.r1, side.r5, side.r10, side.medr, side.meanr], plain_figures(ranks))
    as_dict = metrics.as_dict()
    assert list(as_dict) == ["i2t", "t2i", "rsum"]
    assert list(as_dict["i2t"]) == ["r1", "r5", "r10", "medr", "meanr"]
    assert as_dict["rsum"] == pytest.approx(
        sum(as_dict[s][k] for s in ("i2t", "t2i") for k in ("r1", "r5", "r10"))
    )


def test_the_median_of_two_ranks_is_rounded_down() -> None:
    similarity = torch.tensor([[0.9, 0.1], [0.8, 0.0]])  # t2i ranks 0 and 1: median 0.5
    metrics = recall(similarity, torch.tensor([0, 1]))
    assert metrics.t2i.medr == 1
    assert metrics.t2i.meanr == 1.5


def test_folds_average_the_figures_of_their_queries() -> None:
    draw = torch.Generator().manual_seed(3)
    ranks = rank_matrix(torch.randn(6, 12, generator=draw), torch.arange(6).repeat_interleave(2))
    halves = [ranks.t2i[:6], ranks.t2i[6:]]
    object.__setattr__(ranks, "folds", 2)
    metrics = RetrievalMetrics.from_ranks(ranks)
    expected = np.mean([plain_figures(half) for half in halves], axis=0)
    side = metrics.t2i
    np.testing.assert_allclose([side.r1, side.r5, side.r10, side.medr, side.meanr], expected)


@pytest.mark.parametrize(
    ("similarity", "caption_image", "message"),
    [
        (torch.zeros(3), [0], "shape"),
        (torch.zeros(2, 2, dtype=torch.int64), [0, 1], "floats"),
        (torch.zeros(2, 2), [0], "caption_image has shape"),
        (torch.zeros(2, 2), [0, 2], "holds 2, but the images are 0 to 1"),
        (torch.zeros(2, 2), [-1, 0], "holds -1"),
        (torch.zeros(2, 2), [0.0, 1.0], "integers"),
        (torch.zeros(2, 0), torch.zeros(0, dtype=torch.int64), "no caption"),
        (torch.tensor([[0.0, torch.nan], [0.0, 0.0]]), [0, 1], "NaN at image 0, caption 1"),
    ],
)
def test_wrong_input_is_named(similarity: torch.Tensor, caption_image: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recall(similarity, torch.as_tensor(caption_image))
