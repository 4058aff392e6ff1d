"""Folds of a split: consecutive, equal parts of its images, each ranked on its own (the COCO 1K protocol)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch

from scan_lightning.errors import ScanError
from scan_lightning.retrieval.tiles import Span


@dataclass(frozen=True)
class Fold:
    """A part of a split: a run of its images, and the run of their captions once sorted by image."""

    images: Span
    captions: Span


def cut_folds(image_count: int, caption_image: torch.Tensor, folds: int) -> list[Fold]:
    """Cut a split by the image of each caption, ascending; captions of -1 are in no fold.

    Raises:
        ScanError: folds do not divide the images, or a fold has no caption.

    >>> cut_folds(4, torch.tensor([0, 0, 1, 3]), 2)
    [Fold(images=(0, 2), captions=(0, 3)), Fold(images=(2, 4), captions=(3, 4))]
    """
    if folds < 1 or image_count % folds:
        raise ScanError(
            f"folds={folds} does not divide the split's {image_count} images into equal folds; "
            "give a divisor (1: all at once)"
        )
    borders = torch.arange(folds + 1) * (image_count // folds)
    images = pairwise(borders.tolist())
    captions = pairwise(torch.searchsorted(caption_image, borders).tolist())
    cut = list(map(Fold, images, captions))
    for number, fold in enumerate(cut, 1):
        if fold.captions[0] == fold.captions[1]:
            raise ScanError(
                f"fold {number} of {folds} has no caption, so its recall is undefined; use fewer folds"
            )
    return cut
