"""The loss of a batch, on one process or several."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scan_lightning.model.scan import Embedded
from scan_lightning.options import Range
from scan_lightning.similarity import Similarity, triplet_loss
from scan_lightning.specification import Configurable
from scan_lightning.training.gather import gather_pairs
from scan_lightning.training.loss_share import loss_share


class TripletLoss(Configurable, nn.Module):
    """The triplet loss, summed over the batch (paper, section 3.3).

    A loss of one's own has the same `forward`. On several processes each computes it over the pairs of all,
    unless it has a `share` as this one.

    Args:
        margin: by how much a right pair should beat a wrong one
        negatives: which wrong pairs of the batch count: the hardest of each item, or all
        warmup_steps: the first optimizer steps use all negatives
        negatives_scope: with several processes, negatives among all their pairs, or each process's own share
        micro_batches: parts in which a batch is encoded, to take less memory; the loss is that of the batch
    """

    def __init__(
        self,
        margin: Annotated[float, Range(at_least=0)] = 0.2,
        negatives: Literal["hardest", "all"] = "hardest",
        warmup_steps: Annotated[int, Range(at_least=0)] = 0,
        negatives_scope: Literal["global", "local"] = "global",
        micro_batches: Annotated[int, Range(at_least=1)] = 1,
    ) -> None:
        super().__init__()
        self.margin, self.negatives, self.warmup_steps = margin, negatives, warmup_steps
        self.negatives_scope, self.micro_batches = negatives_scope, micro_batches

    def negatives_at(self, step: int) -> Literal["hardest", "all"]:
        """Which negatives count at a step (the first is 0)."""
        return "all" if step < self.warmup_steps else self.negatives

    def forward(
        self,
        regions: Tensor,
        words: Tensor,
        similarity: Similarity,
        *,
        region_counts: Tensor,
        word_counts: Tensor,
        step: int = 0,
    ) -> Tensor:
        """Return the sum over the pairs of a batch.

        Args:
            regions: (n, k, D).
            words: (n, w, D); caption i belongs to image i.
            similarity: of an image and a caption.
            region_counts: (n,) regions of each image.
            word_counts: (n,) words of each caption.
            step: optimizer steps done.
        """
        return triplet_loss(
            regions,
            words,
            similarity,
            margin=self.margin,
            negatives=self.negatives_at(step),
            region_counts=region_counts,
            word_counts=word_counts,
        )

    def share(self, own: Embedded, similarity: Similarity, step: int) -> Tensor:
        """Return this process's share of the loss; the shares of all processes add up to it."""
        if self.negatives_scope == "local":
            return _own_loss(self, own, similarity, step)
        return loss_share(own, similarity, margin=self.margin, negatives=self.negatives_at(step))


def batch_loss(
    loss: nn.Module, own: Embedded, similarity: Similarity, step: int, world_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the loss of the batch that all processes hold together.

    DDP averages the gradients of processes, and the gradient of a sum of shares is the sum of theirs: so a
    share is differentiated times the number of processes.

    Args:
        loss: `TripletLoss`, or one with its `forward`.
        own: this process's pairs, perhaps none.
        similarity: of an image and a caption.
        step: optimizer steps done.
        world_size: number of processes.

    Returns:
        What this process differentiates; the loss of the whole batch; how many pairs it has.
    """
    pairs = own.regions.new_full((), len(own))
    if world_size == 1:
        value = _own_loss(loss, own, similarity, step)
        return value, value.detach(), pairs
    if hasattr(loss, "share"):
        share: Tensor = loss.share(own, similarity, step)  # type: ignore[operator]
        total = torch.stack([share.detach(), pairs])
        dist.all_reduce(total)  # Lightning's own reduction waits for all processes first
        return share * world_size, total[0], total[1]
    batch = gather_pairs(own)
    value = _own_loss(loss, batch, similarity, step)
    return value, value.detach(), own.regions.new_full((), len(batch))


def _own_loss(loss: nn.Module, own: Embedded, similarity: Similarity, step: int) -> Tensor:
    if not len(own):
        unused = [parameter.sum() * 0 for parameter in similarity.parameters()]
        return own.regions.sum() + own.words.sum() + sum(unused)  # zero, with a gradient for every parameter
    value: Tensor = loss(
        own.regions,
        own.words,
        similarity,
        region_counts=own.region_counts,
        word_counts=own.word_counts,
        step=step,
    )
    return value
