from dataclasses import replace

import numpy as np
import pytest

from scan_lightning.retrieval import coco
from scan_lightning.retrieval.coco import DEPTH, coco_metrics
from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Ranks, Top

eccv_caption = pytest.importorskip("eccv_caption")


class Split:
    """COCO's test split in an order of our own, and queries with lists of our choice."""

    def __init__(self, seed: int = 0) -> None:
        self.package = eccv_caption.Metrics()
        self.draw = np.random.default_rng(seed)
        listed: dict[int, list[int]] = {}
        for caption in self.package.coco_ids.tolist():
            listed.setdefault(self.package.coco_gts["t2i"][caption][0], []).append(caption)
        self.images = self.draw.permutation(list(listed))
        order = self.draw.permutation(5_000).repeat(5)  # captions of an image need not be neighbours
        order = order[self.draw.permutation(25_000)]
        left = {image: iter(ids) for image, ids in listed.items()}
        self.caption_image = order
        self.captions = np.array([next(left[self.images[image]]) for image in order])

    def queries(self, i2t: dict[int, list[int]], t2i: dict[int, list[int]]) -> Queries:
        """Queries whose best items are those given by COCO's ids, then wrong ones."""
        top_i2t = self._lists(self.images, self.captions, i2t)
        top_t2i = self._lists(self.captions, self.images, t2i)
        zeros = [np.zeros(len(top)) for top in (top_i2t, top_t2i)]
        ranks = Ranks(
            zeros[0],
            np.arange(5_000),
            zeros[1],
            self.caption_image,
            np.arange(25_000),
            5_000,
            top=Top(top_i2t, top_i2t, top_t2i, top_t2i),
        )
        return Queries(
            "test", ranks, [f"COCO_val2014_{image:012}.jpg" for image in self.images], [""] * 25_000
        )

    def _lists(self, queries: np.ndarray, items: np.ndarray, wanted: dict[int, list[int]]) -> np.ndarray:
        place = {item: index for index, item in enumerate(items.tolist())}
        rows = []
        for query in queries.tolist():
            # Two captions that ECCV judged are not among the 25,000: no list can hold them.
            row = [place[item] for item in wanted.get(query, []) if item in place][:DEPTH]
            row = list(dict.fromkeys([*row, *range(2 * DEPTH)]))[:DEPTH]  # each item once
            rows.append(row)
        return np.array(rows)


@pytest.fixture(scope="module")
def split() -> Split:
    return Split()


def test_perfect_lists_are_perfect(split: Split) -> None:
    eccv = split.package.eccv_gts
    metrics = coco_metrics(split.queries(eccv["i2t"], eccv["t2i"]))
    assert metrics is not None
    for name in ("eccv_map_at_r", "eccv_rprecision"):
        assert metrics[name] == {"i2t": pytest.approx(100, abs=0.02), "t2i": 100}
    cxc = split.package.cxc_gts
    metrics = coco_metrics(split.queries(cxc["i2t"], cxc["t2i"]))
    assert metrics is not None
    assert metrics["cxc_r1"] == {"i2t": 100, "t2i": 100}


def test_random_lists_have_the_figures_of_a_plain_count(split: Split) -> None:
    """Right and wrong items shuffled."""
    lists = {}
    for side, others in (("i2t", split.captions), ("t2i", split.images)):
        lists[side] = {
            query: split.draw.permutation([*items[:20], *split.draw.choice(others, 30)]).tolist()
            for query, items in split.package.eccv_gts[side].items()
        }
    queries = split.queries(lists["i2t"], lists["t2i"])
    metrics = coco_metrics(queries)
    assert metrics is not None
    top = queries.ranks.top
    assert top is not None
    full = {
        "i2t": dict(zip(split.images.tolist(), split.captions[top.i2t].tolist(), strict=True)),
        "t2i": dict(zip(split.captions.tolist(), split.images[top.t2i].tolist(), strict=True)),
    }
    for side in full:
        eccv, cxc = split.package.eccv_gts[side], split.package.cxc_gts[side]
        expected = plain_eccv(full[side], eccv)
        for k in (1, 5, 10):
            hits = [len(set(full[side][query][:k]) & set(right)) > 0 for query, right in cxc.items()]
            expected[f"cxc_r{k}"] = 100 * np.mean(hits)
        assert set(metrics) == set(expected)
        for name, value in expected.items():
            assert metrics[name][side] == pytest.approx(value), (name, side)
            assert 0 < value < 100 or name.startswith("cxc")


def plain_eccv(found: dict[int, list[int]], right: dict[int, list[int]]) -> dict[str, float]:
    """mAP@R and R-Precision in percent, where R is the number of right items of a query."""
    precisions, shares = [], []
    for query, items in right.items():
        hits = [item in items for item in found[query][: len(items)]]
        precisions.append(sum(sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit) / len(hits))
        shares.append(sum(hits) / len(hits))
    return {"eccv_map_at_r": 100 * np.mean(precisions), "eccv_rprecision": 100 * np.mean(shares)}


def test_other_splits_have_no_such_figures(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = split.queries({}, {})
    assert coco_metrics(whole) is not None
    assert coco_metrics(replace(whole, ranks=replace(whole.ranks, folds=5))) is None
    assert coco_metrics(replace(whole, ranks=replace(whole.ranks, top=None))) is None
    assert coco_metrics(replace(whole, image_ids=["a.jpg", *whole.image_ids[1:]])) is None
    assert coco_metrics(replace(whole, image_ids=whole.image_ids[1:])) is None
    uneven = np.where(np.arange(25_000) == 0, split.caption_image[1], split.caption_image)
    assert coco_metrics(replace(whole, ranks=replace(whole.ranks, t2i_images=uneven))) is None
    monkeypatch.setattr(coco, "find_spec", lambda name: None)
    assert coco_metrics(whole) is None
