import numpy as np
import pytest
import torch

from scan_lightning.retrieval.ranks import Ranks, rank_matrix
from scan_lightning.retrieval.recall import RetrievalMetrics
from scan_lightning.retrieval.statistics import FIGURES, figures, interval, intervals, resampled


def random_ranks(
    images: int = 40, captions: int = 160, *, folds: int = 1, seed: int = 0, lift: float = 1.0
) -> Ranks:
    draw = torch.Generator().manual_seed(seed)
    gold = torch.cat([torch.arange(images), torch.randint(images, (captions - images,), generator=draw)])
    similarity = torch.randn(images, captions, generator=draw)
    similarity[gold, torch.arange(captions)] += lift
    ranks = rank_matrix(similarity, gold)
    object.__setattr__(ranks, "folds", folds)
    return ranks


def plain(ranks: Ranks, images: list[int]) -> np.ndarray:
    """The figures when the split consists of these images, one drawn twice standing there twice."""
    i2t = [ranks.i2t[np.flatnonzero(ranks.i2t_images == image)[0]] for image in images]
    t2i = np.concatenate([ranks.t2i[ranks.t2i_images == image] for image in images])
    recalls = [100 * np.mean(np.asarray(side) < k) for side in (i2t, t2i) for k in (1, 5, 10)]
    return np.array([*recalls, sum(recalls)])


@pytest.mark.parametrize("folds", [1, 4])
def test_figures_are_those_of_the_metrics(folds: int) -> None:
    ranks = random_ranks(folds=folds)
    metrics = RetrievalMetrics.from_ranks(ranks).as_dict()
    expected = [metrics[side][f"r{k}"] for side in ("i2t", "t2i") for k in (1, 5, 10)]
    np.testing.assert_allclose(figures(ranks), [*expected, metrics["rsum"]])


def test_a_resample_is_the_figures_of_the_images_drawn() -> None:
    ranks = random_ranks()
    draw = np.random.default_rng(7)
    chosen = [draw.integers(40, size=40) for _ in range(5)]
    got = resampled([ranks], resamples=5, seed=7)[0]
    np.testing.assert_allclose(got, [plain(ranks, ranks.i2t_images[c].tolist()) for c in chosen])


def test_each_fold_is_drawn_within_itself() -> None:
    ranks = random_ranks(folds=2)
    draw = np.random.default_rng(3)
    parts = [
        [plain(ranks, (half * 20 + draw.integers(20, size=20)).tolist()) for _ in range(4)] for half in (0, 1)
    ]
    np.testing.assert_allclose(resampled([ranks], resamples=4, seed=3)[0], np.mean(parts, axis=0))


def test_images_without_captions_are_never_drawn() -> None:
    gold = torch.tensor([1, 1, 4, 4, 4])
    similarity = torch.zeros(6, 5)
    similarity[gold, torch.arange(5)] = 1
    got = resampled([rank_matrix(similarity, gold)], resamples=20)
    assert (got[..., :-1] == 100).all()


def test_intervals_hold_the_true_value_as_often_as_they_say() -> None:
    """Independent queries with a known chance of a hit: about 95 of 100 intervals cover it."""
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        hit = draw.random(200) < 0.3
        ranks = Ranks(np.where(hit, 0, 50), np.arange(200), np.where(hit, 0, 50), *[np.arange(200)] * 2, 200)
        low, high = intervals(ranks, resamples=200)["t2i"]["r5"]
        covered += low <= 30 <= high
    assert 88 <= covered <= 100


def test_captions_of_an_image_are_drawn_together() -> None:
    """Five copies of a caption tell nothing new: the interval is as wide as that of one."""
    hit = np.random.default_rng(0).random(100) < 0.5
    one = Ranks(np.where(hit, 0, 50), np.arange(100), np.where(hit, 0, 50), *[np.arange(100)] * 2, 100)
    copies = np.arange(100).repeat(5)
    five = Ranks(one.i2t, np.arange(100), one.t2i[copies], copies, np.arange(500), 100)
    assert intervals(five)["t2i"]["r5"] == pytest.approx(intervals(one)["t2i"]["r5"])


def test_the_difference_of_a_run_with_itself_is_nothing() -> None:
    ranks = random_ranks()
    first, second = resampled([ranks, ranks], resamples=50)
    assert (first == second).all()
    low, high = interval(second - first)
    assert low.shape == (len(FIGURES),)
    assert (low == 0).all()
    assert (high == 0).all()


def test_other_queries_cannot_be_drawn_alike() -> None:
    with pytest.raises(ValueError, match="other queries"):
        resampled([random_ranks(), random_ranks(seed=1)])


def test_keys_of_results_json() -> None:
    found = intervals(random_ranks(), resamples=30)
    assert list(found) == ["level", "resamples", "i2t", "t2i", "rsum"]
    assert found["level"] == 0.95
    assert list(found["i2t"]) == ["r1", "r5", "r10"]
    low, high = found["rsum"]
    assert low < figures(random_ranks())[-1] < high
    assert found == intervals(random_ranks(), resamples=30)  # drawn alike every time
