"""Two runs on the same queries: the paired difference of their recalls, and the queries that changed most."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from scan_lightning.errors import ScanError
from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.statistics import Floats, figures, interval, resampled


@dataclass(frozen=True)
class Change:
    """One query's rank in both runs, 1-based."""

    direction: str  # `i2t` (the query is the image) or `t2i` (the query is the caption)
    image: str  # the image's id
    caption: str  # the query caption, or the first caption of the query image
    rank_a: int  # in the first run
    rank_b: int  # in the second

    @property
    def octaves(self) -> float:
        """How often the rank was halved (positive: the second run is better) or doubled."""
        return float(np.log2(self.rank_a / self.rank_b))


@dataclass(frozen=True)
class Comparison:
    """The second run against the first; figures in the order of `statistics.FIGURES`, percent."""

    figures_a: Floats  # (F,) of the first run
    figures_b: Floats  # (F,) of the second
    low: Floats  # (F,) lower end of the 95 % interval of the paired difference b - a
    high: Floats  # (F,) upper end
    changes: list[Change]  # every query, those whose rank changed by the largest factor first

    @property
    def difference(self) -> Floats:
        """(F,) figures of the second run less those of the first."""
        return self.figures_b - self.figures_a

    def counts(self, direction: str) -> tuple[int, int, int]:
        """Return how many queries of a direction rank better, the same and worse in the second run."""
        octaves = [change.octaves for change in self.changes if change.direction == direction]
        better, worse = sum(value > 0 for value in octaves), sum(value < 0 for value in octaves)
        return better, len(octaves) - better - worse, worse


def compare(a: Queries, b: Queries) -> Comparison:
    """Compare two runs query by query.

    Raises:
        ScanError: they were not made on the same images and captions, in the same folds.
    """
    b = _aligned(a, b)
    sample_a, sample_b = resampled([a.ranks, b.ranks])
    low, high = interval(sample_b - sample_a)
    changes = sorted(_changes(a, b), key=lambda change: -abs(change.octaves))  # stable: then in store order
    return Comparison(figures(a.ranks), figures(b.ranks), low, high, changes)


def _aligned(a: Queries, b: Queries) -> Queries:
    """Return b with its images and captions numbered as those of a."""
    keys_a, keys_b = _caption_keys(a), _caption_keys(b)
    for what, ours, theirs in (
        ("images", set(a.image_ids), set(b.image_ids)),
        ("captions", set(keys_a), set(keys_b)),
    ):
        if ours != theirs:
            raise ScanError(
                f"the runs are not on the same queries: {len(ours ^ theirs)} {what} are in one of them only "
                f"(first run: split {a.split}, {len(ours)}; second run: split {b.split}, {len(theirs)}). "
                "Evaluate both on the same split of the same store."
            )
    if a.ranks.folds != b.ranks.folds:
        raise ScanError(
            f"the runs were evaluated in {a.ranks.folds} and {b.ranks.folds} folds; evaluate both alike"
        )
    number = {image_id: index for index, image_id in enumerate(a.image_ids)}
    new = np.array([number[image_id] for image_id in b.image_ids])
    if a.ranks.folds > 1 and not np.array_equal(new, np.arange(len(new))):
        raise ScanError("the runs' images are in another order, so their folds differ; use the same store")
    position = {key: index for index, key in enumerate(keys_b)}
    images = np.argsort(new[b.ranks.i2t_images])
    i2t, t2i = b.ranks.i2t[images], b.ranks.t2i[[position[key] for key in keys_a]]
    return replace(a, ranks=replace(a.ranks, i2t=i2t, t2i=t2i, top=None))


def _caption_keys(queries: Queries) -> list[tuple[str, str, int]]:
    """What tells a caption from all others: its image, text, and number among that image's equal texts."""
    met: Counter[tuple[str, str]] = Counter()
    keys = []
    for image, text in zip(queries.ranks.t2i_images.tolist(), queries.query_captions, strict=True):
        key = (queries.image_ids[image], text)
        keys.append((*key, met[key]))
        met[key] += 1
    return keys


def _changes(a: Queries, b: Queries) -> list[Change]:
    changes = []
    pairs = zip(a.ranks.i2t_images.tolist(), a.ranks.i2t.tolist(), b.ranks.i2t.tolist(), strict=True)
    for image, one, two in pairs:
        first = a.captions[a.ranks.captions_of(image)[0]]
        changes.append(Change("i2t", a.image_ids[image], first, one + 1, two + 1))
    images = a.ranks.t2i_images.tolist()
    ranks = zip(images, a.query_captions, a.ranks.t2i.tolist(), b.ranks.t2i.tolist(), strict=True)
    changes += [Change("t2i", a.image_ids[image], text, one + 1, two + 1) for image, text, one, two in ranks]
    return changes
