"""Score a whole split and rank it, in bounded memory: one model or an ensemble, with folds.

What is held at a time is one tile: a run of images, a run of captions and their similarities; tiles are cut
by index under the memory budget, the embeddings themselves may lie in a file (`EmbeddingStore`). So a
100,000 x 500,000 evaluation takes no more memory than a 1,000 x 5,000 one.

An ensemble averages the similarities of its members tile by tile (paper, section 4.2: two models trained
apart, their similarities averaged).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from scan_lightning.errors import ScanError
from scan_lightning.progress import progress as show_progress
from scan_lightning.retrieval.embeddings import Embeddings
from scan_lightning.retrieval.folds import cut_folds
from scan_lightning.retrieval.ranks import Ranks, Top, gold_index
from scan_lightning.retrieval.tiles import Share, Span, Tile, plan_tiles, rank_tiles
from scan_lightning.similarity import Similarity, similarity_matrix
from scan_lightning.similarity.inputs import DEFAULT_BUDGET

__all__ = ["Embeddings", "Member", "rank_members", "rank_split"]


@dataclass(frozen=True)
class Member:
    """One model of an ensemble: its embeddings of the split, its rule, its weight in the average."""

    images: Embeddings
    captions: Embeddings
    rule: Similarity
    weight: float = 1.0


def rank_split(
    images: Embeddings,
    captions: Embeddings,
    caption_image: torch.Tensor,
    rule: Similarity,
    *,
    folds: int = 1,
    memory_budget: int | None = None,
    progress: bool = False,
    top_k: int = 0,
    device: torch.device | str | None = None,
    rank: int = 0,
    world_size: int = 1,
    all_reduce: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
) -> Ranks:
    """Rank every image among the captions and every caption among the images.

    An image without captions is no query but stays a candidate for every caption. Likewise over an incomplete
    split: a caption whose image was not encoded (-1) is no query but stays a candidate for every image.

    Args:
        images: region embeddings of N images.
        captions: word embeddings of C captions.
        caption_image: (C,) integers, the image of each caption in any order, or -1.
        rule: the similarity.
        folds: rank within this many consecutive, equal folds of the images instead of all of them.
        memory_budget: bytes, default 512 MiB; the embeddings themselves are not counted.
        progress: draw a bar with rate and time left on the standard error.
        top_k: keep this many of the best items of each query.
        device: where tiles are scored; default: where the image embeddings are.
        rank: this process among `world_size`, which take tiles in turn.
        world_size: number of processes; each calls this function with the same embeddings.
        all_reduce: returns the sum over the processes of a tensor on `device`.

    Returns:
        The ranks of all queries, on every process, bit-identical for any `world_size`.

    Raises:
        ValueError: sizes do not fit each other.
        ScanError: there is no query, folds do not divide the images, a fold has no query, or a similarity is
            NaN.
    """
    return rank_members(
        [Member(images, captions, rule)],
        caption_image,
        folds=folds,
        memory_budget=memory_budget,
        progress=progress,
        top_k=top_k,
        device=device,
        share=Share(rank, world_size, all_reduce),
    )


def rank_members(
    members: Sequence[Member],
    caption_image: torch.Tensor,
    *,
    folds: int = 1,
    memory_budget: int | None = None,
    progress: bool = False,
    top_k: int = 0,
    device: torch.device | str | None = None,
    share: Share | None = None,
) -> Ranks:
    """Rank a split by the weighted mean of several models' similarities; other arguments as in `rank_split`.

    Args:
        members: the models, each with embeddings of the same images and captions in the same order.
        caption_image: (C,) integers, the image of each caption in any order, or -1.
        share: which tiles this process takes; None: all.

    Raises:
        ValueError: there is no member, or sizes or weights do not fit.
        ScanError: as in `rank_split`.
    """
    image_count, caption_count = _sizes(members)
    budget = DEFAULT_BUDGET if memory_budget is None else memory_budget
    device = torch.device(members[0].images.packed.device if device is None else device)
    if not (image_count and caption_count and (caption_image >= 0).any()):
        raise ScanError(
            f"recall is undefined: none of the {caption_count} encoded captions belongs to one of the "
            f"{image_count} encoded images. Evaluate more of the split (trainer.limit_val_batches), or a "
            "split with captions."
        )
    gold_C = gold_index(caption_image.cpu(), image_count, caption_count, lowest=-1)
    order_C = gold_C.argsort(stable=True)
    sorted_C = gold_C[order_C]
    tiles = _tiles(members, order_C, sorted_C, folds, budget)
    share = share or Share()
    pairs = sum(tile.pairs for tile in share.of(tiles))
    with show_progress("ranking", pairs, unit="pairs", shown=progress) as advance:
        ranks = rank_tiles(
            _Scorer(members, order_C, device, budget // 2),
            tiles,
            sorted_C.to(device),
            image_count,
            keep_bytes=budget // 8,
            top_k=top_k,
            share=share,
            advance=advance,
        )
    return _in_callers_order(replace(ranks, folds=folds), order_C)


class _Scorer:
    """The (I, J) similarities of a tile. The images of a row of tiles are read once."""

    def __init__(
        self, members: Sequence[Member], order: torch.Tensor, device: torch.device, budget: int
    ) -> None:
        total = math.fsum(member.weight for member in members)
        self.shares = [member.weight / total for member in members]
        self.members, self.order, self.device, self.budget = members, order, device, budget
        self.row: Span | None = None
        self.regions: list[tuple[torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def __call__(self, tile: Tile) -> torch.Tensor:
        if self.row != tile.images:
            self.regions.clear()  # before the next are read
            items = torch.arange(*tile.images)
            self.regions.extend(member.images.take(items, self.device) for member in self.members)
            self.row = tile.images
        mean = torch.zeros(())
        for number, (member, (regions, region_counts)) in enumerate(
            zip(self.members, self.regions, strict=True)
        ):
            words, word_counts = member.captions.take(self.order[slice(*tile.captions)], self.device)
            part = self.shares[number] * similarity_matrix(
                regions,
                words,
                member.rule,
                region_counts=region_counts,
                word_counts=word_counts,
                memory_budget=self.budget,
            )
            mean = mean + part if number else part
        return mean


def _tiles(
    members: Sequence[Member], order_C: torch.Tensor, sorted_C: torch.Tensor, folds: int, budget: int
) -> list[Tile]:
    """Cut the folds into tiles whose images, captions and scores each fit an eighth of the budget."""
    # 512 x 512 pairs by default: captions are read seldom enough, and processes share tiles out evenly.
    longest = max(1, math.isqrt(budget // 2048))
    image_bytes = [member.images.item_bytes for member in members]
    caption_bytes = [member.captions.item_bytes[order_C] for member in members]
    ownerless = _spans(caption_bytes, 0, int((sorted_C < 0).sum()), budget // 8, longest)
    tiles: list[Tile] = []
    for images, captions in cut_folds(len(members[0].images), sorted_C, folds):
        image_spans = _spans(image_bytes, *images, budget // 8, longest)
        caption_spans = _spans(caption_bytes, *captions, budget // 8, longest)
        tiles += plan_tiles(image_spans, ownerless + caption_spans, sorted_C)
    return tiles


def _spans(item_bytes: list[torch.Tensor], start: int, stop: int, limit: int, longest: int) -> list[Span]:
    """Cut items start to stop into runs of at most `longest` items and `limit` bytes once padded (at least
    one item each, whatever its size).
    """
    if start == stop:
        return []
    spans = []
    sizes = torch.stack([column[start:stop] for column in item_bytes], 1).tolist()
    first, widest = start, [0] * len(item_bytes)
    for item, own in enumerate(sizes, start):
        wider = [max(pair) for pair in zip(widest, own, strict=True)]
        if item > first and (item - first == longest or (item + 1 - first) * sum(wider) > limit):
            spans.append((first, item))
            first, wider = item, own
        widest = wider
    return [*spans, (first, stop)]


def _sizes(members: Sequence[Member]) -> tuple[int, int]:
    """Return how many images and captions the members agree on."""
    if not members:
        raise ValueError("there is no member to average")
    for member in members:
        if not (math.isfinite(member.weight) and member.weight > 0):
            raise ValueError(f"a member's weight is {member.weight}, expected a positive number")
    sizes = {(len(member.images), len(member.captions)) for member in members}
    if len(sizes) > 1:
        raise ValueError(f"members differ in (images, captions): {sorted(sizes)}")
    return sizes.pop()


def _in_callers_order(ranks: Ranks, order_C: torch.Tensor) -> Ranks:
    """Undo the sorting of captions by image."""
    order = order_C.numpy()
    captions = order[ranks.t2i_captions]
    back = captions.argsort()
    top = ranks.top
    if top is not None:
        # An index of -1, where there is no caption, stays -1.
        ids = np.where(top.i2t < 0, -1, order[top.i2t.clip(0)])
        top = Top(ids, top.i2t_scores, top.t2i[back], top.t2i_scores[back])
    return replace(
        ranks,
        t2i=ranks.t2i[back],
        t2i_images=ranks.t2i_images[back],
        t2i_captions=captions[back],
        top=top,
    )
