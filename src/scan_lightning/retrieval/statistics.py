"""Recall under other queries: bootstrap intervals, alone and for paired differences, and recall by chance.

What is drawn, with replacement, are images with all their captions: captions of one image are correlated, and
drawing them one by one would make the intervals too narrow. With folds each is drawn within itself. Two runs
on the same queries are drawn alike, so what both find hard cancels in the difference.

Shapes: N images of a fold, B resamples, F figures (`FIGURES`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scan_lightning.retrieval.ranks import Indices, Ranks

Floats: TypeAlias = npt.NDArray[np.float64]

KS = (1, 5, 10)
FIGURES = (*(f"i2t/r{k}" for k in KS), *(f"t2i/r{k}" for k in KS), "rsum")
LEVEL = 0.95
RESAMPLES = 1000
SEED = 0  # the same ranks always give the same interval


def figures(ranks: Ranks) -> Floats:
    """Return the (F,) figures of a split in percent: six recalls and their sum, folds averaged."""
    folds = [_Fold(ranks.fold(index)) for index in range(ranks.folds)]
    return np.asarray(np.mean([fold.figures(np.ones(fold.images)) for fold in folds], axis=0))


def resampled(runs: Sequence[Ranks], *, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Return the figures on resampled queries, the same draw for every run.

    Args:
        runs: ranks of the same queries in the same order.
        resamples: B.
        seed: of the draws.

    Returns:
        (runs, B, F) percent.

    Raises:
        ValueError: the runs have other queries.
    """
    for run in runs:
        for name in ("folds", "image_count", "i2t_images", "t2i_images"):
            if not np.array_equal(getattr(run, name), getattr(runs[0], name)):
                raise ValueError(f"the runs have other queries ({name} differs) and cannot be drawn alike")
    draw = np.random.default_rng(seed)
    total = np.zeros((len(runs), resamples, len(FIGURES)))
    for index in range(runs[0].folds):
        folds = [_Fold(run.fold(index)) for run in runs]
        images = folds[0].images
        for resample in range(resamples):
            times = np.bincount(draw.integers(images, size=images), minlength=images)
            for number, fold in enumerate(folds):
                total[number, resample] += fold.figures(times.astype(np.float64))
    return total / runs[0].folds


def interval(samples: Floats, level: float = LEVEL) -> Floats:
    """Return the percentile interval, (2, ...) low and high, of samples (B, ...)."""
    return np.asarray(np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0))


def intervals(ranks: Ranks, *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Any]:
    """Return the 95 % intervals of a split's recalls, for results.json.

    Returns:
        `level`, `resamples`, and [low, high] in percent under `i2t` and `t2i` (r1, r5, r10) and `rsum`.
    """
    ends = interval(resampled([ranks], resamples=resamples, seed=seed)[0])
    pairs = dict(zip(FIGURES, ends.T.tolist(), strict=True))
    sides = {side: {f"r{k}": pairs[f"{side}/r{k}"] for k in KS} for side in ("i2t", "t2i")}
    return {"level": LEVEL, "resamples": resamples, **sides, "rsum": pairs["rsum"]}


def chance_recall(caption_image: Indices, image_count: int) -> dict[str, dict[str, float]]:
    """Return the expected recall when every order of the items is equally likely.

    A caption has one right image; an image is right as soon as one of its captions is among the first K.

    Args:
        caption_image: (C,) int64, the image of each caption.
        image_count: N.

    Returns:
        `i2t` and `t2i`, each with `r1`, `r5` and `r10` in percent.

    >>> chance_recall(np.array([0, 0, 1, 1]), 2)["t2i"]["r1"]
    50.0
    """
    captions, own = len(caption_image), np.bincount(caption_image)
    recalls: dict[str, dict[str, float]] = {"i2t": {}, "t2i": {}}
    for k in KS:
        drawn = min(k, captions)
        missed = [comb(captions - count, drawn) / comb(captions, drawn) for count in own[own > 0].tolist()]
        recalls["i2t"][f"r{k}"] = 100.0 * (1.0 - float(np.mean(missed)))
        recalls["t2i"][f"r{k}"] = 100.0 * min(k, image_count) / image_count
    return recalls


class _Fold:
    """Per image of a fold that is a query: its hit at each K, its captions' hits, how many they are."""

    def __init__(self, ranks: Ranks) -> None:
        self.images = len(ranks.i2t)
        place = np.searchsorted(ranks.i2t_images, ranks.t2i_images)
        self.i2t = np.stack([ranks.i2t < k for k in KS], 1).astype(np.float64)
        self.t2i = np.stack([np.bincount(place, ranks.t2i < k, self.images) for k in KS], 1)
        self.captions = np.bincount(place, minlength=self.images).astype(np.float64)

    def figures(self, times: Floats) -> Floats:
        """Return the (F,) figures when image n is drawn times[n] times."""
        i2t, t2i = times @ self.i2t / times.sum(), times @ self.t2i / (times @ self.captions)
        recalls = 100 * np.concatenate([i2t, t2i])
        return np.append(recalls, recalls.sum())
