"""Pictures chosen from a split: attention for some captions, answers for some queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.attention import draw_attention
from scan_lightning.report.figure_files import save_figure
from scan_lightning.report.sheets import Found, retrieval_sheet
from scan_lightning.retrieval.queries import Queries

SHOWN = 5  # pictures of a sheet
_TELLING = tuple(range(6, 11))  # words of a caption that fills two rows of panels


def attention_gallery(
    model: TrainedModel, store: Store, split: str, images_dir: Path, folder: Path, *, count: int
) -> list[Path]:
    """Draws what words look at for captions spread over a split, as `folder/attention_N.png`.

    Captions are chosen by their place and length alone, never by how well the model does.

    Args:
        model: Of the store's feature width.
        store: With boxes.
        split: Which one.
        images_dir: The pictures.
        folder: There already.
        count: How many.
    """
    rows = store.caption_rows(split)
    fitting = [
        row for row, words in zip(rows, store.caption_words(rows), strict=True) if len(words) in _TELLING
    ]
    chosen = _spread(np.array(fitting if len(fitting) >= count else rows), count)
    paths = []
    for number, (row, sentence) in enumerate(zip(chosen, store.caption_text(chosen), strict=True), start=1):
        figure = draw_attention(model, store, int(store.caption_image[row]), sentence, images_dir=images_dir)
        paths += save_figure(figure, folder / f"attention_{number}", kinds=("png",))
    return paths


def retrieval_gallery(queries: Queries, images_dir: Path, folder: Path) -> list[Path]:
    """Draws three answers, as `folder/retrieval_N.png`: right at once, among the first, and missed.

    Where a model leaves one of the three out, a query of the next kind takes its place.

    Args:
        queries: Ranked, with the best items kept.
        images_dir: The pictures.
        folder: There already.
    """
    ranks, top = queries.ranks, queries.ranks.top
    if top is None:
        raise ValueError("the best items of each query were not kept: rank with top_k >= 1")
    kinds = [(0, 1), (1, SHOWN), (SHOWN, ranks.image_count)]
    chosen: list[int] = []
    for low, high in kinds:
        of_kind = np.flatnonzero((ranks.t2i >= low) & (ranks.t2i < high))
        left = of_kind[~np.isin(of_kind, chosen)]
        left = left if len(left) else np.setdiff1d(np.arange(len(ranks.t2i)), chosen)
        chosen.append(int(left[len(left) // 2]))
    paths = []
    for number, query in enumerate(chosen, start=1):
        found = [
            Found(
                Image.open(images_dir / queries.image_ids[image]),
                float(score),
                image == ranks.t2i_images[query],
            )
            for image, score in zip(
                top.t2i[query, :SHOWN].tolist(), top.t2i_scores[query, :SHOWN], strict=True
            )
            if image >= 0
        ]
        figure = retrieval_sheet(
            queries.captions[ranks.t2i_captions[query]],
            found,
            rank=int(ranks.t2i[query]) + 1,
            total=ranks.image_count,
        )
        paths += save_figure(figure, folder / f"retrieval_{number}", kinds=("png",))
    return paths


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """`count` rows at even distances, from the middle of each part."""
    places = (np.arange(count) * 2 + 1) * len(rows) // (2 * count)
    return rows[places]
