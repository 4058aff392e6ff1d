"""Best and worst queries of a run as an HTML table, with the pictures that are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

import numpy as np

from scan_lightning.retrieval.queries import Queries

COUNT = 6  # of each kind
HEADINGS = ("query", "right answer", "ranked first", "rank")

Show = Callable[[int], str]  # an image of the split as HTML


def query_tables(queries: Queries, show: Show) -> str:
    """The hardest and the surest queries, both ways.

    Args:
        queries: Ranked, with the best items kept.
        show: Gives the HTML of an image, by its number in the split.

    Returns:
        HTML; nothing when the best items were not kept.
    """
    if queries.ranks.top is None:
        return ""
    tables = "".join(
        f'<div class="card"><h3>{title}</h3><div class="scroll"><table class="queries"><thead><tr>'
        + "".join(f'<th scope="col"{_kind(name)}>{name}</th>' for name in HEADINGS)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
        for title, rows in (
            ("Worst, text to image", _t2i(queries, _worst(queries.ranks.t2i), show)),
            ("Worst, image to text", _i2t(queries, _worst(queries.ranks.i2t), show)),
            ("Best, text to image", _t2i(queries, _best(queries, "t2i"), show)),
            ("Best, image to text", _i2t(queries, _best(queries, "i2t"), show)),
        )
    )
    return f'<div class="grid">{tables}</div>'


def shown_images(queries: Queries) -> list[int]:
    """Which images `query_tables` shows."""
    if queries.ranks.top is None:
        return []
    ranks, top = queries.ranks, queries.ranks.top
    found: dict[int, None] = {}
    for query in [*_worst(ranks.t2i), *_best(queries, "t2i")]:
        found[int(ranks.t2i_images[query])] = found[int(top.t2i[query, 0])] = None
    for query in [*_worst(ranks.i2t), *_best(queries, "i2t")]:
        found[int(ranks.i2t_images[query])] = None
    return list(found)


def _kind(heading: str) -> str:
    return "" if heading == "rank" else ' class="text"'


def _worst(ranks: np.ndarray) -> list[int]:
    order: list[int] = np.argsort(-ranks, kind="stable")[:COUNT].tolist()
    return order


def _best(queries: Queries, side: str) -> list[int]:
    """Queries answered at once with the largest distance to the next answer."""
    top = queries.ranks.top
    assert top is not None
    scores = top.t2i_scores if side == "t2i" else top.i2t_scores
    ranks = queries.ranks.t2i if side == "t2i" else queries.ranks.i2t
    if side == "t2i":
        ahead = scores[:, 0] - scores[:, min(1, scores.shape[1] - 1)]
    else:
        ahead = np.array([_lead(queries, query) for query in range(len(ranks))])
    ahead = np.where((ranks == 0) & np.isfinite(ahead), ahead, -np.inf)
    order: list[int] = np.argsort(-ahead, kind="stable")[: min(COUNT, int((ranks == 0).sum()))].tolist()
    return order


def _lead(queries: Queries, query: int) -> float:
    """How far an image's best caption stands above the best wrong one, among those kept."""
    ranks, top = queries.ranks, queries.ranks.top
    assert top is not None
    kept = top.i2t[query] >= 0
    wrong = ~np.isin(top.i2t[query], ranks.captions_of(ranks.i2t_images[query]))
    scores = top.i2t_scores[query]
    floor = scores[kept & wrong].max(initial=float(scores[kept].min(initial=0.0)))
    return float(scores[0] - floor)


def _t2i(queries: Queries, chosen: Iterable[int], show: Show) -> Iterable[str]:
    ranks, top = queries.ranks, queries.ranks.top
    assert top is not None
    for query in chosen:
        right, first = int(ranks.t2i_images[query]), int(top.t2i[query, 0])
        yield _row(
            escape(queries.captions[ranks.t2i_captions[query]]),
            show(right),
            show(first),
            int(ranks.t2i[query]) + 1,
        )


def _i2t(queries: Queries, chosen: Iterable[int], show: Show) -> Iterable[str]:
    ranks, top = queries.ranks, queries.ranks.top
    assert top is not None
    for query in chosen:
        image = int(ranks.i2t_images[query])
        captions = ranks.captions_of(image)
        right_ones = dict.fromkeys([caption for caption in top.i2t[query] if caption in captions] + captions)
        own = [escape(queries.captions[caption]) for caption in right_ones]
        right = own[0]
        if len(own) > 1:
            right += f"<details><summary>{len(own) - 1} more</summary>{'<br>'.join(own[1:])}</details>"
        first = escape(queries.captions[int(top.i2t[query, 0])])
        yield _row(show(image), right, first, int(ranks.i2t[query]) + 1)


def _row(query: str, right: str, first: str, rank: int) -> str:
    cells = "".join(f'<td class="text">{cell}</td>' for cell in (query, right, first))
    return f"<tr>{cells}<td>{rank:,}</td></tr>"
