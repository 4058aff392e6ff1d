"""The queries a model finds hardest, as rows of a table: what was asked, what was right, what came first."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np

from scan_lightning.retrieval.queries import Queries


@dataclass(frozen=True)
class HardQuery:
    """A query and its answers.

    Attributes:
        direction: `i2t`, an image asks for its captions, or `t2i`, a caption for its image.
        query: the image's id or the caption.
        rank: 1-based, of the best right answer.
        right: the right answer; the captions of an image are joined by ` | `.
        first: what the model ranked first.
        score: similarity of the query and `first`.
    """

    direction: str
    query: str
    rank: int
    right: str
    first: str
    score: float


COLUMNS = tuple(field.name for field in fields(HardQuery))


def hardest_queries(queries: Queries, count: int) -> list[HardQuery]:
    """Return the worst ranked queries of each direction, the worst first.

    Args:
        queries: a ranked split whose `ranks.top` was kept.
        count: how many of each direction at most.

    Raises:
        ValueError: `ranks.top` was not kept.
    """
    ranks, top = queries.ranks, queries.ranks.top
    if top is None:
        raise ValueError("the best items of each query were not kept: rank with top_k >= 1")
    rows = []
    for query in _worst(ranks.i2t, count):
        image = int(ranks.i2t_images[query])
        own = [queries.captions[caption] for caption in ranks.captions_of(image)]
        rows.append(
            HardQuery(
                "i2t",
                queries.image_ids[image],
                int(ranks.i2t[query]) + 1,
                " | ".join(own),
                queries.captions[top.i2t[query, 0]],
                float(top.i2t_scores[query, 0]),
            )
        )
    for query in _worst(ranks.t2i, count):
        rows.append(
            HardQuery(
                "t2i",
                queries.captions[ranks.t2i_captions[query]],
                int(ranks.t2i[query]) + 1,
                queries.image_ids[ranks.t2i_images[query]],
                queries.image_ids[top.t2i[query, 0]],
                float(top.t2i_scores[query, 0]),
            )
        )
    return rows


def as_rows(hard: list[HardQuery]) -> list[list[str | int | float]]:
    """Return the values under `COLUMNS`."""
    return [list(astuple(query)) for query in hard]


def _worst(ranks: np.ndarray, count: int) -> list[int]:
    # Stable, so that equally hard queries come in the split's order.
    order: list[int] = np.argsort(-ranks, kind="stable")[:count].tolist()
    return order
