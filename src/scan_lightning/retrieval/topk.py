"""The best items of each query, kept while the tiles of a similarity matrix come by in any order.

Equal scores are ordered by the item's index, so the list does not depend on which tile came first.
"""

from __future__ import annotations

from typing import TypeAlias

import torch

Best: TypeAlias = tuple[torch.Tensor, torch.Tensor]  # ids (queries, K) int64, -1 for none; scores float64


class RunningTop:
    """The best k captions of each image and the best k images of each caption so far."""

    def __init__(self, image_count: int, caption_count: int, k: int, device: torch.device) -> None:
        self.k = k
        self.i2t = self._nothing(image_count, device)
        self.t2i = self._nothing(caption_count, device)

    def update(self, images: tuple[int, int], captions: tuple[int, int], score_IJ: torch.Tensor) -> None:
        """Include the (I, J) similarities of a tile."""
        self._update(self.i2t, images, captions[0], score_IJ)
        self._update(self.t2i, captions, images[0], score_IJ.T)

    def merge(self, ids: torch.Tensor, scores: torch.Tensor) -> Best:
        """Return the best of several lists of the same queries, (lists, queries, K) each."""
        return self._best(torch.cat(list(ids), 1), torch.cat(list(scores), 1))

    def _nothing(self, queries: int, device: torch.device) -> Best:
        ids = torch.full((queries, self.k), -1, dtype=torch.int64, device=device)
        return ids, torch.full((queries, self.k), -torch.inf, dtype=torch.float64, device=device)

    def _update(self, best: Best, queries: tuple[int, int], first_item: int, scores: torch.Tensor) -> None:
        rows = slice(*queries)
        # A stable sort: torch.topk leaves the order of equal scores open.
        ordered, columns = scores.sort(dim=1, descending=True, stable=True)
        ids = torch.cat([best[0][rows], columns[:, : self.k] + first_item], 1)
        best[0][rows], best[1][rows] = self._best(
            ids, torch.cat([best[1][rows], ordered[:, : self.k].double()], 1)
        )

    def _best(self, ids: torch.Tensor, scores: torch.Tensor) -> Best:
        # Empty places (-1, -inf) must not go before a real item that scores -inf.
        by_id = torch.where(ids < 0, torch.iinfo(torch.int64).max, ids).argsort(dim=1)
        ids, scores = ids.gather(1, by_id), scores.gather(1, by_id)
        order = scores.argsort(dim=1, descending=True, stable=True)[:, : self.k]
        return ids.gather(1, order), scores.gather(1, order)
