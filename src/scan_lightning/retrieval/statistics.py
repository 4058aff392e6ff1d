"""How far recall would move with other queries: bootstrap intervals, alone and for paired differences.

What is drawn, with replacement, are images with all their captions: captions of one image stand or fall
together, and drawing them one by one would make the intervals too narrow. With folds each is drawn within
itself. Two runs on the same queries are drawn alike, so what both find hard cancels in the difference.

Shapes: N images of a fold, B resamples, F figures (`FIGURES`).
"""

from __future__ import annotations

from collections.abc import Sequence
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
    parts = np.stack([_figures(_Fold(fold), None)[0] for fold in _folds(ranks)])
    return np.asarray(parts.mean(0))


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
    if any(not _same_queries(runs[0], other) for other in runs[1:]):
        raise ValueError("the runs have other queries, so they cannot be drawn alike")
    draw = np.random.default_rng(seed)
    total = np.zeros((len(runs), resamples, len(FIGURES)))
    for parts in zip(*(_folds(run) for run in runs), strict=True):
        folds = [_Fold(part) for part in parts]
        for resample in range(resamples):
            chosen = draw.integers(folds[0].images, size=folds[0].images)
            times = np.bincount(chosen, minlength=folds[0].images).astype(np.float64)
            for run, fold in enumerate(folds):
                total[run, resample] += _figures(fold, times[None])[0]
    return total / runs[0].folds


def interval(samples: Floats, level: float = LEVEL) -> Floats:
    """Return the percentile interval, (2, ...) low and high, of samples (B, ...)."""
    return np.asarray(np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0))


def intervals(ranks: Ranks, *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Any]:
    """Return the 95 % intervals of a split's recalls, for results.json.

    Args:
        ranks: of the split.
        resamples: B.
        seed: of the draws.

    Returns:
        `level`, `resamples`, and [low, high] in percent under `i2t` and `t2i` (r1, r5, r10) and `rsum`.
    """
    low, high = interval(resampled([ranks], resamples=resamples, seed=seed)[0])
    pairs = {name: [float(low[i]), float(high[i])] for i, name in enumerate(FIGURES)}
    sides = {side: {f"r{k}": pairs[f"{side}/r{k}"] for k in KS} for side in ("i2t", "t2i")}
    return {"level": LEVEL, "resamples": resamples, **sides, "rsum": pairs["rsum"]}


class _Fold:
    """Per image of a fold that has captions: its own hit at each K, its captions' hits, how many they are."""

    def __init__(self, ranks: Ranks) -> None:
        self.images = len(ranks.i2t)
        place = np.searchsorted(ranks.i2t_images, ranks.t2i_images)
        self.i2t = np.stack([(ranks.i2t < k).astype(np.float64) for k in KS], 1)
        self.t2i = np.stack([np.bincount(place, ranks.t2i < k, self.images) for k in KS], 1)
        self.captions = np.bincount(place, minlength=self.images).astype(np.float64)


def _figures(fold: _Fold, times: Floats | None) -> Floats:
    """Return (B, F) figures when image n is drawn times[b, n] times; None: each once."""
    times = np.ones((1, fold.images)) if times is None else times
    i2t = 100 * (times @ fold.i2t) / times.sum(1, keepdims=True)
    t2i = 100 * (times @ fold.t2i) / (times @ fold.captions)[:, None]
    recalls = np.concatenate([i2t, t2i], 1)
    return np.concatenate([recalls, recalls.sum(1, keepdims=True)], 1)


def _folds(ranks: Ranks) -> list[Ranks]:
    return [ranks.fold(index) for index in range(ranks.folds)]


def _same_queries(one: Ranks, other: Ranks) -> bool:
    return (
        one.folds == other.folds
        and one.image_count == other.image_count
        and _equal(one.i2t_images, other.i2t_images)
        and _equal(one.t2i_images, other.t2i_images)
    )


def _equal(one: Indices, other: Indices) -> bool:
    return bool(np.array_equal(one, other))
