"""Ranks: how many wrong items stand above the best right one.

An image may have any number of captions, a caption has exactly one image; which is an explicit index. Ties
count against us: a wrong item with the same score stands above the right one, so a model that gives every
pair the same score ranks last, not first.

Over an incomplete split a caption whose own image is not among the images has no right answer: it is no
query, but stays a candidate for every image.

Shapes: N images, C captions, Q images with a caption, P captions with an image, K items kept per query.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Top:
    """The best scored items of each query, best first; equal scores in the order of the items.

    Where a query has fewer than K candidates the rest is -1 with score -inf.
    """

    i2t: Indices  # (Q, K) int64 caption indices
    i2t_scores: npt.NDArray[np.float64]  # (Q, K) float64 similarities
    t2i: Indices  # (P, K) int64 image indices
    t2i_scores: npt.NDArray[np.float64]  # (P, K) float64 similarities


@dataclass(frozen=True)
class Ranks:
    """The 0-based rank of every query of a split, in both directions.

    An image without captions is no query (nothing is right for it) but stays a candidate for every caption.
    """

    i2t: Indices  # (Q,) int64, wrong captions scored at least as high as the best of the image's own
    i2t_images: Indices  # (Q,) int64, ascending: the image of each entry of `i2t`
    t2i: Indices  # (P,) int64, wrong images scored at least as high as the caption's own
    t2i_images: Indices  # (P,) int64, the right image of each entry of `t2i`
    # (P,) int64, ascending: the caption of each entry of `t2i`; of a complete split all C
    t2i_captions: Indices
    image_count: int  # N
    # F; queries of fold f (images f*N/F to (f+1)*N/F) were ranked among that fold's items only
    folds: int = 1
    top: Top | None = None  # the best items of each query, when they were asked for

    @property
    def images(self) -> int:
        """Number of images that are queries, Q."""
        return len(self.i2t)

    @property
    def captions(self) -> int:
        """Number of captions that are queries, P."""
        return len(self.t2i)

    def captions_of(self, image: int) -> list[int]:
        """Return the captions of an image, ascending."""
        found: list[int] = self.t2i_captions[self.t2i_images == image].tolist()
        return found

    def fold(self, index: int) -> Ranks:
        """Return the queries of one fold as ranks of their own (without `top`); image numbers stay."""
        of_i2t = self.i2t_images * self.folds // self.image_count == index
        of_t2i = self.t2i_images * self.folds // self.image_count == index
        return replace(
            self,
            i2t=self.i2t[of_i2t],
            i2t_images=self.i2t_images[of_i2t],
            t2i=self.t2i[of_t2i],
            t2i_images=self.t2i_images[of_t2i],
            t2i_captions=self.t2i_captions[of_t2i],
            folds=1,
            top=None,
        )


def gold_index(
    caption_image: torch.Tensor, image_count: int, caption_count: int, *, lowest: int = 0
) -> torch.Tensor:
    """Check a gold index and return it as int64.

    Args:
        caption_image: (C,) any integer type, the image of each caption.
        image_count: N.
        caption_count: C.
        lowest: least value allowed; -1 admits captions without an image.

    Raises:
        ValueError: it is not one integer a caption, or names an image there is not, or there is no caption.
    """
    if caption_image.shape != (caption_count,):
        raise ValueError(
            f"caption_image has shape {tuple(caption_image.shape)}, expected ({caption_count},): "
            "the image of each caption"
        )
    if caption_image.is_floating_point() or caption_image.dtype in (torch.bool, torch.complex64):
        raise ValueError(f"caption_image holds {caption_image.dtype}, expected integers")
    if caption_count == 0:
        raise ValueError("there is no caption to rank")
    low, high = int(caption_image.min()), int(caption_image.max())
    if low < lowest or high >= image_count:
        raise ValueError(
            f"caption_image holds {low if low < lowest else high}, but the images are 0 to {image_count - 1}"
        )
    return caption_image.long()


def rank_matrix(similarity: torch.Tensor, caption_image: torch.Tensor) -> Ranks:
    """Rank all queries of a complete similarity matrix.

    Args:
        similarity: (N, C), any float dtype.
        caption_image: (C,) integers, the image of each caption.

    Raises:
        ValueError: similarity is not a matrix of floats, holds NaN, or `caption_image` does not fit it.

    Example:
        >>> rank_matrix(torch.tensor([[0.9, 0.8, 0.1], [0.2, 0.8, 0.7]]), torch.tensor([0, 1, 1])).t2i
        array([0, 1, 0])
    """
    if similarity.ndim != 2 or not similarity.is_floating_point():
        raise ValueError(
            f"similarity is {similarity.dtype} of shape {tuple(similarity.shape)}, "
            "expected floats of shape (images, captions)"
        )
    image_count, caption_count = similarity.shape
    gold_C = gold_index(caption_image, image_count, caption_count).to(similarity.device)
    nan = similarity.isnan()
    if nan.any():
        image, caption = nan.nonzero()[0].tolist()
        raise ValueError(f"similarity is NaN at image {image}, caption {caption}: NaN has no rank")
    score_C = similarity.gather(0, gold_C[None]).squeeze(0)
    best_N = best_of_images(score_C, gold_C, image_count)
    wrong_NC = gold_C[None, :] != torch.arange(image_count, device=gold_C.device)[:, None]
    i2t_N = ((similarity >= best_N[:, None]) & wrong_NC).sum(1)
    t2i_C = ((similarity >= score_C[None, :]) & wrong_NC).sum(0)
    queries = torch.unique(gold_C)
    return Ranks(
        i2t=as_numpy(i2t_N[queries]),
        i2t_images=as_numpy(queries),
        t2i=as_numpy(t2i_C),
        t2i_images=as_numpy(gold_C),
        t2i_captions=np.arange(caption_count),
        image_count=image_count,
    )


def best_of_images(score_C: torch.Tensor, gold_C: torch.Tensor, image_count: int) -> torch.Tensor:
    """Return each image's best gold score (N,), +inf without a caption; captions of image -1 are ignored."""
    owned_C = gold_C >= 0
    gold_P, score_P = gold_C[owned_C], score_C[owned_C]
    best_N = score_C.new_full((image_count,), torch.inf)
    return best_N.scatter_reduce(0, gold_P, score_P, "amax", include_self=False)


def as_numpy(indices: torch.Tensor) -> Indices:
    """Return an integer tensor of any device as int64 NumPy."""
    return indices.cpu().numpy().astype(np.int64, copy=False)
