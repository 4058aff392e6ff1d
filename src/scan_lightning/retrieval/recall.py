"""Recall at 1, 5 and 10, median and mean rank, in both directions, and their sum (paper, section 4.1).

R@K is the percentage of queries whose best right item has fewer than K wrong items at or above it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from scan_lightning.retrieval.ranks import Indices, Ranks, rank_matrix


@dataclass(frozen=True)
class Recall:
    """One direction's figures."""

    r1: float  # recall at 1, percent of queries
    r5: float  # recall at 5, percent
    r10: float  # recall at 10, percent
    medr: float  # 1-based median rank, floor(median of the 0-based ranks) + 1 as in the released code
    meanr: float  # 1-based mean rank

    @classmethod
    def from_ranks(cls, ranks: Indices) -> Recall:
        """Sum up 0-based ranks (Q,), one a query.

        Raises:
            ValueError: there is no query.
        """
        if ranks.size == 0:
            raise ValueError("recall of no query is undefined")
        r1, r5, r10 = (100.0 * float(np.mean(ranks < k)) for k in (1, 5, 10))
        return cls(r1, r5, r10, float(np.floor(np.median(ranks)) + 1), float(np.mean(ranks) + 1))

    @classmethod
    def mean(cls, parts: list[Recall]) -> Recall:
        """Return the mean of each figure over folds (medians too, as in the released code)."""
        return cls(
            *(float(np.mean(column)) for column in zip(*(asdict(p).values() for p in parts), strict=True))
        )


@dataclass(frozen=True)
class RetrievalMetrics:
    """Both directions."""

    i2t: Recall  # image-to-text
    t2i: Recall  # text-to-image
    images: int  # number of images that were queries
    captions: int  # number of captions that were queries

    @property
    def rsum(self) -> float:
        """The six recalls added, 600 at best."""
        return sum(side.r1 + side.r5 + side.r10 for side in (self.i2t, self.t2i))

    @classmethod
    def from_ranks(cls, ranks: Ranks) -> RetrievalMetrics:
        """Sum up the ranks of a split; with folds, the mean over the folds of every figure.

        Raises:
            ValueError: a fold has no caption.
        """
        folds = [ranks.fold(index) for index in range(ranks.folds)]
        return cls(
            Recall.mean([Recall.from_ranks(fold.i2t) for fold in folds]),
            Recall.mean([Recall.from_ranks(fold.t2i) for fold in folds]),
            ranks.images,
            ranks.captions,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of results.json: `i2t` and `t2i` (r1, r5, r10, medr, meanr) and `rsum`."""
        return {"i2t": asdict(self.i2t), "t2i": asdict(self.t2i), "rsum": self.rsum}

    def flat(self, stage: str) -> dict[str, float]:
        """Return the figures under the names of metrics.csv, such as val/i2t/r1."""
        values = {
            f"{side}/{name}": value for side in ("i2t", "t2i") for name, value in self.as_dict()[side].items()
        }
        values |= {"images": float(self.images), "captions": float(self.captions), "rsum": self.rsum}
        return {f"{stage}/{name}": value for name, value in values.items()}


def recall(similarity: torch.Tensor, caption_image: torch.Tensor) -> RetrievalMetrics:
    """Return the retrieval metrics of a similarity matrix.

    The rank of a query is the number of wrong items that score at least as high as its best right one: ties
    count against us. An image may have any number of captions; one with none is no query, only a distractor.

    Args:
        similarity: (images, captions), any float dtype, any device.
        caption_image: (captions,) integers, the image of each caption.

    Raises:
        ValueError: a NaN, a wrong shape, or an index of an image there is not.

    Example:
        >>> metrics = recall(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]))
        >>> metrics.t2i.r1, metrics.i2t.r1
        (100.0, 50.0)
    """
    return RetrievalMetrics.from_ranks(
        rank_matrix(torch.as_tensor(similarity), torch.as_tensor(caption_image))
    )
