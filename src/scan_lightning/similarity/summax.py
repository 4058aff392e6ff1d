"""Similarity without attention: the best raw score of each query, pooled."""

import torch
from torch import Tensor

from scan_lightning.similarity.attention import Aggregation, Direction, Pooled, Positive
from scan_lightning.similarity.base import Side


class SumMax(Pooled):
    """The best raw score of each query, pooled over the queries.

    With `"sum"` the ablation of the paper without attention (section 4.4); `"lse"` is the similarity of CHAN
    (Pan et al., CVPR 2023), with the pooled value divided by `lse_scale`.

    Args:
        direction: `"t2i"`: words are the queries, the maximum is over regions; `"i2t"`: the other way round.
        aggregation: how the best scores become one score.
        lse_scale: inverse temperature of LogSumExp pooling, used by `"lse"` only.

    Raises:
        ValueError: an argument outside its allowed values.
    """

    def __init__(
        self, direction: Direction, aggregation: Aggregation = "sum", lse_scale: Positive = 10.0
    ) -> None:
        super().__init__()
        self.direction, self.aggregation, self.lse_scale = direction, aggregation, lse_scale

    def relevance(self, scores: Tensor, regions: Side, words: Side) -> Tensor:
        """(..., queries) best raw score of each query over the real context."""
        if self.direction == "t2i":
            if regions.padding is not None:
                scores = scores.masked_fill(regions.padding[..., None, :], -torch.inf)
            return scores.amax(dim=-1)
        if words.padding is not None:
            scores = scores.masked_fill(words.padding[..., None], -torch.inf)
        return scores.amax(dim=-2)

    def explain(self, scores: Tensor, regions: Side, words: Side) -> tuple[Tensor, Tensor]:
        """Weight 1 at the best context element of each query (the first of equals), and its raw score."""
        relevance = self.relevance(scores, regions, words)
        by_query = scores if self.direction == "t2i" else scores.mT
        padding = regions.padding if self.direction == "t2i" else words.padding
        if padding is not None:
            by_query = by_query.masked_fill(padding[..., None, :], -torch.inf)
        best = by_query.argmax(dim=-1)
        return torch.nn.functional.one_hot(best, by_query.shape[-1]).to(scores.dtype), relevance
