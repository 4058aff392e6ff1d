"""The triplet loss of a batch that several processes hold together: a share each, in sum that of one.

Each process scores its own images against all captions, so its work and memory fall with their number. The
shares add up to the loss of the whole batch, and so do their gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scan_lightning.model.scan import Embedded
from scan_lightning.similarity import Similarity, similarity_matrix, similarity_pairs
from scan_lightning.similarity.triplet import (
    Hardest,
    all_negatives_loss,
    hardest_loss,
    merge_columns,
    mine_hardest,
)
from scan_lightning.training.gather import Gathered, gather_pairs, gather_rows, gather_vector


def loss_share(own: Embedded, rule: Similarity, *, margin: float, negatives: str) -> Tensor:
    """Return this process's share of the loss, the sum over its pairs; every process calls this together.

    Args:
        own: the process's pairs, perhaps none. Its embeddings must require a gradient.
        rule: the similarity.
        margin: alpha.
        negatives: hardest of all processes' pairs, or all of them.

    Returns:
        A scalar whose gradient reaches the embeddings of all processes: `backward` is a collective.
    """
    batch = gather_pairs(own)
    if negatives == "all":
        return _all_negatives_share(batch, rule, margin)
    row_caption, column_image = _mine(batch, rule)
    return hardest_loss(
        batch.regions,
        batch.words,
        rule,
        row_caption=row_caption,
        column_image=column_image[batch.own],
        first=batch.own.start,
        margin=margin,
        region_counts=batch.region_counts,
        word_counts=batch.word_counts,
    )


def _mine(batch: Gathered, rule: Similarity) -> tuple[Tensor, Tensor]:
    """Return the hardest caption of each own image (n,), and the hardest image of every caption (B,)."""
    own, device = batch.own, batch.regions.device
    if own.start < own.stop:
        mined = mine_hardest(
            batch.regions.detach()[own],
            batch.words.detach(),
            rule,
            first_image=own.start,
            region_counts=batch.region_counts[own],
            word_counts=batch.word_counts,
        )
    else:  # no image: no negative of any caption
        none = torch.empty(0, device=device)
        columns = torch.full((len(batch),), -torch.inf, device=device)
        mined = Hardest(none, none.long(), columns, torch.zeros(len(batch), dtype=torch.int64, device=device))
    # One message: indices are exact in float64, too.
    found = gather_rows(torch.stack([mined.column_score.double(), mined.column_image.double()]))
    parts = [Hardest(mined.row_score, mined.row_caption, score, image.long()) for score, image in found]
    return mined.row_caption, merge_columns(parts)[1]


def _all_negatives_share(batch: Gathered, rule: Similarity, margin: float) -> Tensor:
    own = batch.own
    if own.start < own.stop:
        scores_SB = similarity_matrix(
            batch.regions[own],
            batch.words,
            rule,
            region_counts=batch.region_counts[own],
            word_counts=batch.word_counts,
        )
    else:  # nothing, but with a gradient, so that this process takes part in the backward pass
        none = torch.empty(0, dtype=torch.int64)
        scores_0 = similarity_pairs(
            batch.regions,
            batch.words,
            none,
            none,
            rule,
            region_counts=batch.region_counts,
            word_counts=batch.word_counts,
        )
        scores_SB = scores_0[:, None].expand(0, len(batch))
    right_B = gather_vector(scores_SB[:, own].diagonal(), batch.sizes)
    return all_negatives_loss(scores_SB, right_B, first=own.start, margin=margin)
