"""Folds of a split: consecutive, equal parts of its images, each ranked on its own (the COCO 1K protocol)."""

from __future__ import annotations

from itertools import pairwise

import torch

from scan_lightning.errors import ScanError
from scan_lightning.retrieval.tiles import Span


def cut_folds(image_count: int, caption_image: torch.Tensor, folds: int) -> list[tuple[Span, Span]]:
    """Return the images and the captions of each fold, as spans.

    Args:
        image_count: N, the split's images.
        caption_image: (C,) integers, the image of each caption, ascending; captions of -1 are in no fold.
        folds: how many.

    Raises:
        ScanError: folds do not divide the images, or a fold has no caption.

    >>> cut_folds(4, torch.tensor([0, 0, 1, 3]), 2)
    [((0, 2), (0, 3)), ((2, 4), (3, 4))]
    """
    if folds < 1 or image_count % folds:
        raise ScanError(
            f"folds={folds} does not divide the split's {image_count} images into equal folds; "
            "give a divisor (1: all at once)"
        )
    borders = torch.arange(folds + 1) * (image_count // folds)
    captions = list(pairwise(torch.searchsorted(caption_image, borders).tolist()))
    for number, (start, stop) in enumerate(captions, 1):
        if start == stop:
            raise ScanError(
                f"fold {number} of {folds} has no caption, so its recall is undefined; use fewer folds"
            )
    return list(zip(pairwise(borders.tolist()), captions, strict=True))
