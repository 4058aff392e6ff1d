"""The hardest and the easiest queries of a run, as rows of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Indices

COUNT = 6  # queries of each table of the report page


class QueryRow(NamedTuple):
    """A query and its answers; captions are texts, images whatever `show` returns for them."""

    direction: str  # `i2t`, the query is an image, or `t2i`, the query is a caption
    query: Any
    rank: int  # 1-based, of the best right answer
    right: Any  # the right answers, best first
    first: Any  # what the model ranked first
    score: float  # similarity of the query and `first`


COLUMNS = QueryRow._fields


def hardest_queries(queries: Queries, count: int) -> list[QueryRow]:
    """Return the worst ranked queries of each direction; images are ids, right answers are joined."""
    ranks, name = queries.ranks, queries.image_ids.__getitem__
    i2t, t2i = _worst(ranks.i2t, count), _worst(ranks.t2i, count)
    rows = [*_i2t_rows(queries, i2t, name), *_t2i_rows(queries, t2i, name)]
    return [row._replace(right=" | ".join(row.right)) for row in rows]


def query_tables(queries: Queries, show: Callable[[int], Any]) -> list[tuple[str, list[QueryRow]]]:
    """Return the worst and the best queries of both directions, each table with its title."""
    ranks = queries.ranks
    return [
        ("Worst, text to image", _t2i_rows(queries, _worst(ranks.t2i, COUNT), show)),
        ("Worst, image to text", _i2t_rows(queries, _worst(ranks.i2t, COUNT), show)),
        ("Best, text to image", _t2i_rows(queries, _best(ranks.t2i, _t2i_margin(queries)), show)),
        ("Best, image to text", _i2t_rows(queries, _best(ranks.i2t, _i2t_margin(queries)), show)),
    ]


def _worst(ranks: Indices, count: int) -> list[int]:
    # Stable, so that equally hard queries come in the split's order.
    order: list[int] = np.argsort(-ranks, kind="stable")[:count].tolist()
    return order


def _best(ranks: Indices, margin: np.ndarray) -> list[int]:
    """Queries answered right with the largest margin to the next answer."""
    right = np.flatnonzero((ranks == 0) & np.isfinite(margin))
    chosen: list[int] = right[np.argsort(-margin[right], kind="stable")][:COUNT].tolist()
    return chosen


def _t2i_margin(queries: Queries) -> np.ndarray:
    scores = queries.kept.t2i_scores
    return np.asarray(scores[:, 0] - scores[:, min(1, scores.shape[1] - 1)])


def _i2t_margin(queries: Queries) -> np.ndarray:
    """By how much an image's best caption exceeds the best wrong one, among those kept."""
    ranks, top = queries.ranks, queries.kept
    margins = []
    for image, captions, scores in zip(ranks.i2t_images, top.i2t, top.i2t_scores, strict=True):
        kept = captions >= 0
        wrong = kept & ~np.isin(captions, ranks.captions_of(image))
        margins.append(scores[0] - scores[wrong].max(initial=scores[kept].min(initial=0.0)))
    return np.array(margins)


def _t2i_rows(queries: Queries, chosen: Iterable[int], show: Callable[[int], Any]) -> list[QueryRow]:
    ranks, top, texts = queries.ranks, queries.kept, queries.query_captions
    rows = []
    for query in chosen:
        rank, score = int(ranks.t2i[query]) + 1, float(top.t2i_scores[query, 0])
        right, first = show(int(ranks.t2i_images[query])), show(int(top.t2i[query, 0]))
        rows.append(QueryRow("t2i", texts[query], rank, [right], first, score))
    return rows


def _i2t_rows(queries: Queries, chosen: Iterable[int], show: Callable[[int], Any]) -> list[QueryRow]:
    ranks, top, texts = queries.ranks, queries.kept, queries.captions
    rows = []
    for query in chosen:
        rank, score = int(ranks.i2t[query]) + 1, float(top.i2t_scores[query, 0])
        image, best = int(ranks.i2t_images[query]), top.i2t[query].tolist()
        captions = ranks.captions_of(image)
        captions.sort(key=lambda caption: best.index(caption) if caption in best else len(best))
        right = [texts[caption] for caption in captions]
        rows.append(QueryRow("i2t", show(image), rank, right, texts[best[0]], score))
    return rows
