"""The triplet loss (paper, section 3.3), whose gradient touches only the pairs that matter (identity 2).

With hardest negatives the loss reads 3 B of the B^2 similarities: the diagonal, one negative a row, one a
column. They are mined without a gradient and then scored again with one. The steps are separate functions, so
that several devices can mine a slice of the images each:
`mine_hardest` (a slice) -> `merge_columns` (across slices) -> `hardest_loss` (pairs). With all negatives a
slice's share is `all_negatives_loss`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scan_lightning.similarity.base import Similarity
from scan_lightning.similarity.engine import similarity_matrix
from scan_lightning.similarity.inputs import check_inputs
from scan_lightning.similarity.pairs import similarity_pairs

NEGATIVES = ("hardest", "all")


class Hardest(NamedTuple):
    """Hardest negatives of a slice of images against all captions; ties go to the lowest index.

    Attributes:
        row_score: (images of the slice,) best wrong similarity of each image; -inf when there is none.
        row_caption: (images of the slice,) int64, its caption.
        column_score: (captions,) best wrong similarity of each caption in the slice; -inf: there is none.
        column_image: (captions,) int64, its image, counted over the whole batch.
    """

    row_score: Tensor
    row_caption: Tensor
    column_score: Tensor
    column_image: Tensor


def triplet_loss(
    regions: Tensor,
    words: Tensor,
    rule: Similarity,
    *,
    margin: float = 0.2,
    negatives: str = "hardest",
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
    memory_budget: int | None = None,
) -> Tensor:
    """Triplet loss of a batch of right pairs (image b, caption b), summed over the batch.

    Args:
        regions: (B, max_regions, dim) region embeddings.
        words: (B, max_words, dim) word embeddings.
        rule: the similarity.
        margin: alpha.
        negatives: `"hardest"`: each image's and each caption's hardest negative; `"all"`: every negative.
        region_counts: (B,) int, real regions of each image; None: all.
        word_counts: (B,) int, real words of each caption; None: all.
        memory_budget: bytes of working memory; 512 MiB by default.

    Returns:
        The scalar loss; 0, with a zero gradient, for a batch of one pair.

    Raises:
        ValueError: shapes, types, counts or settings that do not fit.
    """
    region_counts, word_counts = check_inputs(regions, words, rule, region_counts, word_counts)
    if len(regions) != len(words):
        raise ValueError(
            f"the triplet loss takes pairs: as many images as captions, not {len(regions)} and {len(words)}"
        )
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives must be one of {', '.join(NEGATIVES)}, not {negatives!r}")
    check_margin(margin)
    if negatives == "all":
        scores = similarity_matrix(
            regions,
            words,
            rule,
            region_counts=region_counts,
            word_counts=word_counts,
            memory_budget=memory_budget,
        )
        return all_negatives_loss(scores, scores.diagonal(), margin=margin)
    mined = mine_hardest(
        regions,
        words,
        rule,
        region_counts=region_counts,
        word_counts=word_counts,
        memory_budget=memory_budget,
    )
    return hardest_loss(
        regions,
        words,
        rule,
        row_caption=mined.row_caption,
        column_image=mined.column_image,
        margin=margin,
        region_counts=region_counts,
        word_counts=word_counts,
    )


@torch.no_grad()
def mine_hardest(
    regions: Tensor,
    words: Tensor,
    rule: Similarity,
    *,
    first_image: int = 0,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
    memory_budget: int | None = None,
) -> Hardest:
    """Find the hardest negatives of a slice of the batch's images, without a gradient.

    Args:
        regions: (slice, max_regions, dim), images `first_image : first_image + slice` of the batch.
        words: (B, max_words, dim), all captions; caption b belongs to image b.
        rule: the similarity.
        first_image: where the slice starts in the batch.
        region_counts: (slice,) int; None: all.
        word_counts: (B,) int; None: all.
        memory_budget: bytes of working memory; 512 MiB by default.

    Returns:
        The best wrong caption of each image, and of each caption the best wrong image of the slice.

    Raises:
        ValueError: inputs that do not fit.
    """
    images = torch.arange(first_image, first_image + len(regions), device=regions.device)
    if first_image < 0 or first_image + len(regions) > len(words):
        raise ValueError(
            f"a slice of {len(regions)} images from {first_image} does not fit a batch of {len(words)}"
        )
    scores = similarity_matrix(
        regions,
        words,
        rule,
        region_counts=region_counts,
        word_counts=word_counts,
        memory_budget=memory_budget,
    )
    scores[images - first_image, images] = -torch.inf
    row_score, row_caption = scores.max(dim=1)
    column_score, column_row = scores.max(dim=0)
    return Hardest(row_score, row_caption, column_score, column_row + first_image)


def merge_columns(parts: Sequence[Hardest]) -> tuple[Tensor, Tensor]:
    """Reduce the columns of slices given in the order of their images.

    Args:
        parts: what `mine_hardest` found in each slice; only the columns are read.

    Returns:
        column_score, column_image: (captions,) each, as one slice of all images would give.
    """
    scores = torch.stack([part.column_score for part in parts])
    images = torch.stack([part.column_image for part in parts])
    best_score, best_part = scores.max(dim=0)  # the first of equals: the lowest image
    return best_score, images.gather(0, best_part[None])[0]


def hardest_loss(
    regions: Tensor,
    words: Tensor,
    rule: Similarity,
    *,
    row_caption: Tensor,
    column_image: Tensor,
    first: int = 0,
    margin: float = 0.2,
    region_counts: Tensor | None = None,
    word_counts: Tensor | None = None,
) -> Tensor:
    """The hardest-negative loss of mined pairs, or a slice's share of it; 3 pairs are scored per right pair.

    Args:
        regions: (B, max_regions, dim), all images of the batch.
        words: (B, max_words, dim), all captions.
        rule: the similarity.
        row_caption: (n,) int64, hardest caption of images `first : first + n`.
        column_image: (n,) int64, hardest image of captions `first : first + n`.
        first: where the slice starts; the shares of disjoint slices add up to the loss of the batch.
        margin: alpha.
        region_counts: (B,) int; None: all.
        word_counts: (B,) int; None: all.

    Returns:
        The scalar sum of the slice's terms.

    Raises:
        ValueError: inputs that do not fit.
    """
    check_margin(margin)
    right = torch.arange(first, first + len(row_caption), device=row_caption.device)
    scores = similarity_pairs(
        regions,
        words,
        torch.cat([right, right, column_image]),
        torch.cat([right, row_caption, right]),
        rule,
        region_counts=region_counts,
        word_counts=word_counts,
    )
    right_score, caption_score, image_score = scores.chunk(3)
    # a batch of one pair has no negatives: mining then points at the right pair itself, which must not count
    cost_caption = _hinge(margin + caption_score - right_score, row_caption != right)
    cost_image = _hinge(margin + image_score - right_score, column_image != right)
    return cost_caption.sum() + cost_image.sum()


def all_negatives_loss(scores_SB: Tensor, right_B: Tensor, *, first: int = 0, margin: float = 0.2) -> Tensor:
    """The cost of every wrong pair, summed, or a slice's share of it.

    Args:
        scores_SB: (slice, B) similarities of images `first : first + slice` and all captions.
        right_B: (B,) similarity of each right pair.
        first: where the slice starts; the shares of disjoint slices add up to the loss of the batch.
        margin: alpha.
    """
    images = torch.arange(first, first + len(scores_SB), device=scores_SB.device)
    wrong = torch.arange(len(right_B), device=scores_SB.device) != images[:, None]
    cost_caption = torch.relu(margin + scores_SB - right_B[images, None])
    cost_image = torch.relu(margin + scores_SB - right_B[None, :])
    return ((cost_caption + cost_image) * wrong).sum()


def check_margin(margin: float) -> None:
    """Refuse a margin that is no number or negative.

    Raises:
        ValueError: not a finite number of at least 0.
    """
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf:
        raise ValueError(f"margin must be a finite number of at least 0, not {margin!r}")


def _hinge(cost: Tensor, counts: Tensor) -> Tensor:
    return torch.relu(cost).masked_fill(~counts.to(cost.device), 0)
