"""What guessing would reach: the recall of a random order of the items."""

from __future__ import annotations

from math import comb

import numpy as np

from scan_lightning.retrieval.ranks import Indices


def chance_recall(caption_image: Indices, image_count: int) -> dict[str, dict[str, float]]:
    """Expected recall when every order of the items is equally likely.

    A caption has one right image; an image is right as soon as one of its captions is among the first K.

    Args:
        caption_image: (C,) int64, the image of each caption.
        image_count: N.

    Returns:
        `i2t` and `t2i`, each with `r1`, `r5` and `r10` in percent.

    >>> chance_recall(np.array([0, 0, 1, 1]), 2)["t2i"]["r1"]
    50.0
    """
    captions = len(caption_image)
    own = np.bincount(caption_image, minlength=image_count)
    own = own[own > 0]  # an image without captions asks nothing
    recalls: dict[str, dict[str, float]] = {"i2t": {}, "t2i": {}}
    for k in (1, 5, 10):
        drawn = min(k, captions)
        missed = [comb(captions - count, drawn) / comb(captions, drawn) for count in own.tolist()]
        recalls["i2t"][f"r{k}"] = 100.0 * (1.0 - float(np.mean(missed)))
        recalls["t2i"][f"r{k}"] = 100.0 * min(k, image_count) / image_count
    return recalls
