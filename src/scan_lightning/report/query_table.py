"""Best and worst queries of a run as HTML tables, with the pictures that are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

import numpy as np

from scan_lightning.report.hardest import worst
from scan_lightning.report.tables import html_table
from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Indices

COUNT = 6  # of each kind
HEAD = (
    '<tr><th scope="col" class="text">query</th><th scope="col" class="text">right answer</th>'
    '<th scope="col" class="text">ranked first</th><th scope="col">rank</th></tr>'
)

Show = Callable[[int], str]  # an image of the split as HTML


def query_tables(queries: Queries, show: Show) -> str:
    """Return the worst and the best queries of both directions as HTML."""
    ranks = queries.ranks
    tables = (
        ("Worst, text to image", _t2i_rows(queries, worst(ranks.t2i, COUNT), show)),
        ("Worst, image to text", _i2t_rows(queries, worst(ranks.i2t, COUNT), show)),
        ("Best, text to image", _t2i_rows(queries, _best(ranks.t2i, _t2i_margin(queries)), show)),
        ("Best, image to text", _i2t_rows(queries, _best(ranks.i2t, _i2t_margin(queries)), show)),
    )
    cards = (
        f'<div class="card"><h3>{title}</h3>{html_table(HEAD, rows, "queries")}</div>'
        for title, rows in tables
    )
    return f'<div class="grid">{"".join(cards)}</div>'


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


def _t2i_rows(queries: Queries, chosen: Iterable[int], show: Show) -> Iterable[str]:
    ranks, top = queries.ranks, queries.kept
    for query in chosen:
        caption = escape(queries.query_captions[query])
        right, first = show(int(ranks.t2i_images[query])), show(int(top.t2i[query, 0]))
        yield _row(caption, right, first, int(ranks.t2i[query]))


def _i2t_rows(queries: Queries, chosen: Iterable[int], show: Show) -> Iterable[str]:
    ranks, top = queries.ranks, queries.kept
    for query in chosen:
        image, best = int(ranks.i2t_images[query]), top.i2t[query].tolist()
        captions = ranks.captions_of(image)
        captions.sort(key=lambda caption: best.index(caption) if caption in best else len(best))
        right, *others = (escape(queries.captions[caption]) for caption in captions)
        if others:
            right += f"<details><summary>{len(others)} more</summary>{'<br>'.join(others)}</details>"
        yield _row(show(image), right, escape(queries.captions[best[0]]), int(ranks.i2t[query]))


def _row(query: str, right: str, first: str, rank: int) -> str:
    cells = "".join(f'<td class="text">{cell}</td>' for cell in (query, right, first))
    return f"<tr>{cells}<td>{rank + 1:,}</td></tr>"
