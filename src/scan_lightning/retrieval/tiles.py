"""Ranks by counting, one tile of the similarity matrix at a time, without ever holding the matrix.

Two passes over tiles whose borders are fixed by index: the first scores the tiles that hold gold pairs and
keeps the gold scores; the second scores every tile and counts the wrong items at or above each query's best
right one. One function scores a tile in both passes, so a gold score is the same to the last bit where it is
kept and where it is compared. Tiles are independent: several processes take them in turn, and counts, being
integers, add up to the same ranks for any number of processes.

Captions are sorted by image, so gold pairs lie near the diagonal and few tiles hold any; captions without an
image (-1) come first.

Shapes: N images, C captions, P of them with an image; a tile has I images and J captions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch

from scan_lightning.errors import ScanError
from scan_lightning.retrieval.ranks import Ranks, Top, as_numpy, best_of_images
from scan_lightning.retrieval.topk import RunningTop

Span: TypeAlias = tuple[int, int]  # first and one past the last


@dataclass(frozen=True)
class Tile:
    """A rectangle of the similarity matrix; `gold` when an image of it owns a caption of it."""

    images: Span
    captions: Span
    gold: bool

    @property
    def pairs(self) -> int:
        """How many similarities the tile holds."""
        return (self.images[1] - self.images[0]) * (self.captions[1] - self.captions[0])


@dataclass(frozen=True)
class Share:
    """Which tiles this process takes when several work together."""

    rank: int = 0  # this process, 0 to world_size - 1
    world_size: int = 1  # how many processes there are
    # returns the sum over all processes of a tensor of the same shape on each of them
    all_reduce: Callable[[torch.Tensor], torch.Tensor] = field(default=lambda tensor: tensor)

    def of(self, tiles: Sequence[Tile]) -> list[Tile]:
        """Return this process's tiles: every world_size-th of those with gold pairs and of the others."""
        gold = [tile for tile in tiles if tile.gold]
        rest = [tile for tile in tiles if not tile.gold]
        mine = gold[self.rank :: self.world_size] + rest[self.rank :: self.world_size]
        return sorted(mine, key=lambda tile: (tile.images, tile.captions))


def plan_tiles(
    image_spans: Sequence[Span], caption_spans: Sequence[Span], caption_image: torch.Tensor
) -> list[Tile]:
    """Return the tiles of all pairs of an image span and a caption span, row by row."""
    first = [int(caption_image[start]) for start, _ in caption_spans]
    last = [int(caption_image[stop - 1]) for _, stop in caption_spans]
    return [
        Tile(images, captions, gold=low < images[1] and high >= images[0])
        for images in image_spans
        for captions, low, high in zip(caption_spans, first, last, strict=True)
    ]


def rank_tiles(
    score: Callable[[Tile], torch.Tensor],
    tiles: Sequence[Tile],
    caption_image: torch.Tensor,
    image_count: int,
    *,
    keep_bytes: int = 0,
    top_k: int = 0,
    share: Share | None = None,
    advance: Callable[[int], None] = lambda pairs: None,
) -> Ranks:
    """Rank all queries among the items they share a tile with.

    Args:
        score: returns the (I, J) similarities of a tile; the same bits whenever it is asked.
        tiles: disjoint; every gold pair is in one of them.
        caption_image: (C,) int64, ascending, on the device of the scores; -1 for captions without an image.
        image_count: N.
        keep_bytes: room for scores of tiles with gold pairs, which are then not scored twice.
        top_k: how many of the best items to keep for each query; 0 for none.
        share: this process's part of the work; None: all of it.
        advance: called with the number of pairs of each tile when it is ranked.

    Raises:
        ScanError: a similarity is NaN, in any of the processes.
    """
    share = share or Share()
    mine = share.of(tiles)
    device = caption_image.device
    kept: dict[Tile, torch.Tensor] = {}
    nan = ""  # where the first NaN is; this process then only takes part in the collectives

    def scored(tile: Tile) -> torch.Tensor:
        nonlocal nan
        score_IJ = kept.pop(tile) if tile in kept else score(tile)
        if score_IJ.isnan().any():
            image, caption = score_IJ.isnan().nonzero()[0].tolist()
            nan = f" of image {tile.images[0] + image} and caption {tile.captions[0] + caption}"
        return score_IJ

    # float64 holds float32 scores exactly, and the sum over processes adds zeros only: a pair is in one tile.
    gold_C = torch.zeros(len(caption_image), dtype=torch.float64, device=device)
    for tile in mine:
        if tile.gold and not nan:
            score_IJ = scored(tile)
            columns, rows = _own_pairs(tile, caption_image)
            gold_C[tile.captions[0] + columns] = score_IJ[rows, columns].double()
            if score_IJ.nbytes <= keep_bytes:
                kept[tile] = score_IJ
                keep_bytes -= score_IJ.nbytes
    gold_C = share.all_reduce(gold_C)
    best_N = best_of_images(gold_C, caption_image, image_count)

    above_N = torch.zeros(image_count, dtype=torch.int64, device=device)
    above_C = torch.zeros(len(caption_image), dtype=torch.int64, device=device)
    top = RunningTop(image_count, len(caption_image), top_k, device) if top_k else None
    for tile in mine:
        if nan:
            break
        score_IJ = scored(tile)
        images, captions = slice(*tile.images), slice(*tile.captions)
        over_image_IJ = score_IJ >= best_N[images, None].to(score_IJ.dtype)
        over_caption_IJ = score_IJ >= gold_C[None, captions].to(score_IJ.dtype)
        if tile.gold:
            columns, rows = _own_pairs(tile, caption_image)
            over_image_IJ[rows, columns] = False
            over_caption_IJ[rows, columns] = False
        above_N[images] += over_image_IJ.sum(1)
        above_C[captions] += over_caption_IJ.sum(0)
        if top is not None:
            top.update(tile.images, tile.captions, score_IJ)
        advance(tile.pairs)
    if int(share.all_reduce(torch.tensor([int(bool(nan))], device=device))):
        raise ScanError(
            f"the similarity{nan} (in the split's order) is NaN, so it has no rank. Either the training "
            "diverged (is the loss in metrics.csv finite?) or the features hold NaN "
            "(`scan-lightning data check`)."
        )
    above_N, above_C = share.all_reduce(above_N), share.all_reduce(above_C)
    captions_P = (caption_image >= 0).nonzero().squeeze(1)
    images_Q = torch.unique(caption_image[captions_P])
    return Ranks(
        i2t=as_numpy(above_N[images_Q]),
        i2t_images=as_numpy(images_Q),
        t2i=as_numpy(above_C[captions_P]),
        t2i_images=as_numpy(caption_image[captions_P]),
        t2i_captions=as_numpy(captions_P),
        image_count=image_count,
        top=None if top is None else _merged(top, images_Q, captions_P, share),
    )


def _own_pairs(tile: Tile, caption_image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where in the tile its gold pairs are: columns, and the row of each."""
    rows = caption_image[slice(*tile.captions)] - tile.images[0]
    columns = ((rows >= 0) & (rows < tile.images[1] - tile.images[0])).nonzero().squeeze(1)
    return columns, rows[columns]


def _merged(top: RunningTop, images_Q: torch.Tensor, captions_P: torch.Tensor, share: Share) -> Top:
    """Merge the processes' best items: a sum of tensors in which each process fills its own slot."""
    parts = []
    for queries, (ids, scores) in ((images_Q, top.i2t), (captions_P, top.t2i)):
        ids, scores = ids[queries], scores[queries]
        all_ids = ids.new_zeros(share.world_size, *ids.shape)
        all_scores = scores.new_zeros(share.world_size, *scores.shape)
        all_ids[share.rank], all_scores[share.rank] = ids, scores
        ids, scores = top.merge(share.all_reduce(all_ids), share.all_reduce(all_scores))
        parts += [as_numpy(ids), scores.cpu().numpy()]
    return Top(*parts)
