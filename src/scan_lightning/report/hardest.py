"""The queries with the worst ranks, as rows of a table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Indices


class HardQuery(NamedTuple):
    """A query and its answers."""

    direction: str  # `i2t`, the query is an image, or `t2i`, the query is a caption
    query: str  # the image's id or the caption
    rank: int  # 1-based, of the best right answer
    right: str  # the right answer; the captions of an image are joined by ` | `
    first: str  # what the model ranked first
    score: float  # similarity of the query and `first`


COLUMNS = HardQuery._fields


def hardest_queries(queries: Queries, count: int) -> list[HardQuery]:
    """Return the worst ranked queries of each direction, the worst first."""
    ranks, top, names, captions = queries.ranks, queries.kept, queries.image_ids, queries.captions
    rows = []
    for query in worst(ranks.i2t, count):
        image, rank = int(ranks.i2t_images[query]), int(ranks.i2t[query]) + 1
        own = " | ".join(captions[caption] for caption in ranks.captions_of(image))
        first, score = captions[top.i2t[query, 0]], float(top.i2t_scores[query, 0])
        rows.append(HardQuery("i2t", names[image], rank, own, first, score))
    for query in worst(ranks.t2i, count):
        right, first = names[ranks.t2i_images[query]], names[top.t2i[query, 0]]
        rank, score = int(ranks.t2i[query]) + 1, float(top.t2i_scores[query, 0])
        rows.append(HardQuery("t2i", queries.query_captions[query], rank, right, first, score))
    return rows


def worst(ranks: Indices, count: int) -> list[int]:
    """Return the queries of the largest ranks, equal ones in the split's order."""
    order: list[int] = np.argsort(-ranks, kind="stable")[:count].tolist()
    return order
