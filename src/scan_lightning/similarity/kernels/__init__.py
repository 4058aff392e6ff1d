"""The fused kernel for everything after the product, and when it is used."""

import importlib.util
import os

import torch
from torch import Tensor

from scan_lightning.similarity.attention import Attention
from scan_lightning.similarity.base import Similarity
from scan_lightning.similarity.inputs import Pack
from scan_lightning.similarity.summax import SumMax

# The kernel holds the scores of one pair in registers, padded to powers of two.
LONGEST = 128


def usable(rule: Similarity, scores_NX: Tensor, regions: int, words: int) -> bool:
    """Whether the fused kernel can score a block; else the PyTorch path does, with equal results.

    Args:
        rule: the kernel computes `Attention` and `SumMax`, and no class derived from them.
        scores_NX: raw scores; on the CPU only Triton's interpreter can (TRITON_INTERPRET=1, for tests).
        regions: most regions of an image in the block.
        words: most words of a caption in the block.

    Returns:
        True if Triton is installed, the scores are float32, and rule and block fit the kernel.
    """
    return (
        type(rule) in (Attention, SumMax)
        and (scores_NX.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")
        and scores_NX.dtype == torch.float32
        and max(regions, words) <= LONGEST
        and importlib.util.find_spec("triton") is not None
    )


def score_block_fused(
    scores_NX: Tensor, regions_IRD: Tensor, counts_I: Tensor, words_ND: Tensor, packed: Pack, rule: Similarity
) -> Tensor:
    """Scores (captions in packed order, I) of one block from its raw scores. No gradient.

    Args:
        scores_NX: float32 raw scores, contiguous, X = I x R; zero at padding.
        regions_IRD: regions, zero at padding.
        counts_I: real regions of each image, int64.
        words_ND: packed words.
        packed: how the words are packed.
        rule: exactly an `Attention` or a `SumMax`.

    Returns:
        (C, I) float32 scores.
    """
    from scan_lightning.similarity.kernels import fused  # Triton is loaded where it is used, not before

    return fused.score_block_fused(scores_NX, regions_IRD, counts_I, words_ND, packed, rule)
