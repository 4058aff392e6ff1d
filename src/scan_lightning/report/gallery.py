"""Pictures of a split chosen for show: attention for some captions, retrieved pictures for some queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.explanation import draw_attention
from scan_lightning.report.figure_files import save_figure
from scan_lightning.report.layout import WIDTH, signed, wrap
from scan_lightning.report.overlay import FAINT, INK, PAPER
from scan_lightning.retrieval.queries import Queries

SHOWN = 5  # pictures of a sheet
RIGHT = "#009e73"
_WORDS = range(6, 11)  # of a caption that fills two rows of panels
_MARGIN, _GAP, _FRAME = 0.14, 0.14, 0.045  # inches


def attention_gallery(
    model: TrainedModel, store: Store, split: str, images_dir: Path, folder: Path, *, count: int
) -> list[Path]:
    """Draw the attention for captions spread over a split, as `folder/attention_N.png`.

    Captions are chosen by their place and length alone, never by how well the model does.
    """
    rows = store.caption_rows(split)
    fitting = [
        row for row, words in zip(rows, store.caption_words(rows), strict=True) if len(words) in _WORDS
    ]
    rows = np.array(fitting) if len(fitting) >= count else rows
    chosen = rows[(np.arange(count) * 2 + 1) * len(rows) // (2 * count)]  # the middle of equal parts
    paths = []
    for number, (row, sentence) in enumerate(zip(chosen, store.caption_text(chosen), strict=True), start=1):
        figure = draw_attention(model, store, int(store.caption_image[row]), sentence, images_dir=images_dir)
        paths += save_figure(figure, folder / f"attention_{number}", kinds=("png",))
    return paths


def retrieval_gallery(queries: Queries, images_dir: Path, folder: Path) -> list[Path]:
    """Draw three caption queries, as `folder/retrieval_N.png`: right at once, among the first, and missed.

    Where a model leaves one of the three out, another query takes its place.
    """
    ranks, top = queries.ranks, queries.kept
    chosen: list[int] = []
    for low, high in ((0, 1), (1, SHOWN), (SHOWN, ranks.image_count)):
        of_kind = np.flatnonzero((ranks.t2i >= low) & (ranks.t2i < high))
        left = np.setdiff1d(of_kind, chosen)
        left = left if len(left) else np.setdiff1d(np.arange(len(ranks.t2i)), chosen)
        chosen.append(int(left[len(left) // 2]))
    paths = []
    for number, query in enumerate(chosen, start=1):
        best = zip(top.t2i[query, :SHOWN].tolist(), top.t2i_scores[query, :SHOWN].tolist(), strict=True)
        found = [
            Found(Image.open(images_dir / queries.image_ids[image]), score, image == ranks.t2i_images[query])
            for image, score in best
            if image >= 0
        ]
        sentence, rank = queries.query_captions[query], int(ranks.t2i[query]) + 1
        figure = retrieval_sheet(sentence, found, rank=rank, total=ranks.image_count)
        paths += save_figure(figure, folder / f"retrieval_{number}", kinds=("png",))
    return paths


@dataclass(frozen=True)
class Found:
    """A retrieved picture."""

    picture: Image.Image  # what was retrieved
    score: float  # similarity to the sentence
    right: bool  # whether it is the sentence's own


def retrieval_sheet(sentence: str, found: Sequence[Found], *, rank: int, total: int) -> Figure:
    """Draw a sentence and its retrieved pictures, best first; `rank` is the right picture's, from 1."""
    side = (WIDTH - 2 * _MARGIN - _GAP * (len(found) - 1)) / len(found)
    tallest = min(max(item.picture.height / item.picture.width for item in found), 1.4) * side
    lines = wrap(f"“{sentence}”", inches=WIDTH - 2 * _MARGIN, points=11)
    height = 0.76 + 0.2 * len(lines) + tallest
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    left, top = _MARGIN / WIDTH, 1 - 0.12 / height
    figure.text(
        left, top, "\n".join(lines), fontsize=11, color=INK, va="top", linespacing=1.25, parse_math=False
    )
    below = 1 - (0.18 + 0.2 * len(lines)) / height
    rank_text = f"the right picture is number {rank} of {total:,}"
    figure.text(left, below, rank_text, fontsize=8, color=RIGHT if rank == 1 else FAINT, va="top")
    for number, item in enumerate(found):
        # Of one height band: each picture as large as its proportions allow, centred.
        scale = min(side / item.picture.width, tallest / item.picture.height)
        wide, high = item.picture.width * scale, item.picture.height * scale
        x = _MARGIN + number * (side + _GAP) + (side - wide) / 2
        y = 0.34 + (tallest - high) / 2
        if item.right:
            corner = ((x - _FRAME) / WIDTH, (y - _FRAME) / height)
            frame = (wide + 2 * _FRAME) / WIDTH, (high + 2 * _FRAME) / height
            figure.add_artist(Rectangle(corner, *frame, fc=RIGHT, ec="none", zorder=-1))
        axes = figure.add_axes((x / WIDTH, y / height, wide / WIDTH, high / height))
        axes.imshow(item.picture.convert("RGB"), interpolation="lanczos", aspect="auto")
        axes.axis("off")
        label = f"{number + 1}   {signed(item.score)}" + ("   right" if item.right else "")
        color, weight = (RIGHT, "bold") if item.right else (INK, "normal")
        place = ((_MARGIN + number * (side + _GAP) + side / 2) / WIDTH, 0.24 / height)
        figure.text(*place, label, fontsize=8, ha="center", va="top", color=color, weight=weight)
    return figure
