"""Steps 2 to 5 of the method for every pair of a block in one Triton kernel.

One program scores one caption against one image: it reads their raw scores once, keeps everything in
registers and writes a single number. The product itself stays with the vendor's library.

Shape legend: I images, R regions, X = I x R, C captions, W words of a caption, N packed word rows,
D dimension; inside the kernel W and R are padded to powers of two.
"""

from typing import get_args

import torch
import triton
import triton.language as tl
from torch import Tensor

from scan_lightning.similarity.attention import Aggregation, Attention, Pooled, RawNorm
from scan_lightning.similarity.base import Similarity, norm
from scan_lightning.similarity.inputs import Pack

SUM_MAX = -1  # in place of a raw norm


@triton.jit  # type: ignore[untyped-decorator]
def _score(  # type: ignore[no-untyped-def]
    scores_NX,
    gram,
    query_norm,
    start_C,
    length_C,
    count_I,
    out_CI,
    images,
    regions,
    gram_side,
    smoothing,
    lse_scale,
    T2I: tl.constexpr,
    RAW_NORM: tl.constexpr,
    AGGREGATION: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_R: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Score the pair (program_id 1, program_id 0). Axis 0 of a tile is words, axis 1 regions."""
    image = tl.program_id(0)
    caption = tl.program_id(1)
    start = tl.load(start_C + caption)
    length = tl.load(length_C + caption)
    count = tl.load(count_I + image)
    w = tl.arange(0, BLOCK_W)
    r = tl.arange(0, BLOCK_R)
    real_W = w < length
    real_R = r < count
    real = real_W[:, None] & real_R[None, :]
    row = (start + w).to(tl.int64) * images * regions
    scores = tl.load(scores_NX + row[:, None] + (image * regions + r)[None, :], mask=real, other=0.0)
    # 0: words, 1: regions
    QUERY: tl.constexpr = 0 if T2I else 1
    CONTEXT: tl.constexpr = 1 if T2I else 0
    real_query = tl.broadcast_to(real_W[:, None] if T2I else real_R[None, :], (BLOCK_W, BLOCK_R))
    real_context = tl.broadcast_to(real_R[None, :] if T2I else real_W[:, None], (BLOCK_W, BLOCK_R))

    if RAW_NORM == -1:
        relevance = tl.max(tl.where(real_context, scores, float("-inf")), axis=CONTEXT)
    else:
        x = scores
        if RAW_NORM == 0 or RAW_NORM == 2 or RAW_NORM == 4:  # the clipped kinds
            x = tl.where(x >= 0, x, 0.1 * x)
        if RAW_NORM == 0 or RAW_NORM == 1:
            x = x / (tl.sqrt(tl.expand_dims(tl.sum(x * x, axis=QUERY), QUERY)) + 1e-8)
        if RAW_NORM == 2 or RAW_NORM == 3:
            x = x / (tl.expand_dims(tl.sum(tl.abs(x), axis=QUERY), QUERY) + 1e-8)
        if RAW_NORM == 5:
            x = tl.where(real_query, x, float("-inf"))
            x = tl.exp(x - tl.expand_dims(tl.max(x, axis=QUERY), QUERY))
            x = x / tl.expand_dims(tl.sum(x, axis=QUERY), QUERY)
        x = tl.where(real_context, smoothing * x, float("-inf"))
        x = tl.exp(x - tl.expand_dims(tl.max(x, axis=CONTEXT), CONTEXT))
        weights = x / tl.expand_dims(tl.sum(x, axis=CONTEXT), CONTEXT)

        if T2I:
            square = gram + image.to(tl.int64) * gram_side * gram_side + r[:, None] * gram_side + r[None, :]
            g = tl.load(square, mask=(r < gram_side)[:, None] & (r < gram_side)[None, :], other=0.0)
            smeared = tl.dot(weights, g, input_precision=PRECISION)
            norms = tl.load(query_norm + start + w, mask=real_W, other=0.0)
        else:
            square = gram + caption.to(tl.int64) * gram_side * gram_side + w[:, None] * gram_side + w[None, :]
            g = tl.load(square, mask=(w < gram_side)[:, None] & (w < gram_side)[None, :], other=0.0)
            smeared = tl.dot(g, weights, input_precision=PRECISION)
            norms = tl.load(query_norm + image * regions + r, mask=real_R, other=0.0)
        dot = tl.sum(weights * scores, axis=CONTEXT)
        attended = tl.sqrt(tl.maximum(tl.sum(weights * smeared, axis=CONTEXT), 0.0))
        relevance = dot / tl.maximum(norms * attended, 1e-8)
        relevance = tl.minimum(tl.maximum(relevance, -1.0), 1.0)

    real_Q = real_W if T2I else real_R
    queries = (length if T2I else count).to(tl.float32)
    if AGGREGATION == 0:
        x = tl.where(real_Q, lse_scale * relevance, float("-inf"))
        top = tl.max(x, axis=0)
        score = (top + tl.log(tl.sum(tl.exp(x - top), axis=0))) / lse_scale
    elif AGGREGATION == 1:
        score = tl.sum(tl.where(real_Q, relevance, 0.0), axis=0) / queries
    elif AGGREGATION == 2:
        score = tl.max(tl.where(real_Q, relevance, float("-inf")), axis=0)
    else:
        score = tl.sum(tl.where(real_Q, relevance, 0.0), axis=0)
    tl.store(out_CI + caption.to(tl.int64) * images + image, score)


def score_block_fused(
    scores_NX: Tensor, regions_IRD: Tensor, counts_I: Tensor, words_ND: Tensor, packed: Pack, rule: Similarity
) -> Tensor:
    """Launch the kernel on a block; arguments and result as in `kernels.score_block_fused`."""
    assert isinstance(rule, Pooled)
    images, regions = regions_IRD.shape[:2]
    captions, longest = len(packed.lengths), packed.longest
    t2i = rule.direction == "t2i"
    out_CI = scores_NX.new_empty(captions, images)
    gram, query_norm = scores_NX, scores_NX  # not read by Sum-Max
    raw_norm, smoothing = SUM_MAX, 1.0
    if isinstance(rule, Attention):
        context = regions_IRD if t2i else _padded(words_ND, packed.lengths, longest)
        query = words_ND if t2i else regions_IRD
        gram = context @ context.mT
        query_norm = norm(query, query.dim() - 1, keepdim=False).contiguous()
        raw_norm, smoothing = get_args(RawNorm).index(rule.raw_norm), rule.smoothing
    _score[(images, captions)](
        scores_NX,
        gram,
        query_norm,
        packed.lengths.cumsum(0) - packed.lengths,
        packed.lengths,
        counts_I,
        out_CI,
        images,
        regions,
        regions if t2i else longest,
        float(smoothing),
        float(rule.lse_scale),
        T2I=t2i,
        RAW_NORM=raw_norm,
        AGGREGATION=get_args(Aggregation).index(rule.aggregation),
        BLOCK_W=max(16, triton.next_power_of_2(longest)),  # tl.dot takes at least 16 rows
        BLOCK_R=max(16, triton.next_power_of_2(regions)),
        PRECISION="ieee",
    )
    return out_CI


def _padded(words_ND: Tensor, lengths_C: Tensor, longest: int) -> Tensor:
    """Packed words as (C, longest, D), zero at padding."""
    real_CW = torch.arange(longest, device=words_ND.device) < lengths_C[:, None]
    padded_CWD = words_ND.new_zeros(len(lengths_C), longest, words_ND.shape[1])
    return padded_CWD.masked_scatter_(real_CW[:, :, None], words_ND)
