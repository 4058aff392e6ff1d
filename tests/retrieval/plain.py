"""Ranks the slow, obvious way: sort every query's candidates with NumPy, wrong ones first among equals."""

import numpy as np


def plain_ranks(similarity: np.ndarray, caption_image: np.ndarray) -> tuple[dict[int, int], np.ndarray]:
    """Return {image: 0-based rank} for images with captions, and the rank of each caption (C,)."""
    i2t = {}
    for image in sorted(set(caption_image.tolist())):
        i2t[image] = _place(similarity[image], caption_image == image)
    t2i = [
        _place(similarity[:, caption], np.arange(len(similarity)) == caption_image[caption])
        for caption in range(similarity.shape[1])
    ]
    return i2t, np.array(t2i)


def plain_figures(ranks: np.ndarray) -> list[float]:
    """R@1, R@5, R@10, medr, meanr as the released code computes them from 0-based ranks."""
    hits = [100.0 * len(np.where(ranks < k)[0]) / len(ranks) for k in (1, 5, 10)]
    return [*hits, np.floor(np.median(ranks)) + 1, ranks.mean() + 1]


def _place(scores: np.ndarray, right: np.ndarray) -> int:
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], right[item]))
    return int(np.flatnonzero(right[order])[0])
