"""The table of hardest queries against a plain sort of the whole similarity matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scan_lightning.report.hardest import COLUMNS, hardest_queries
from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.score import Embeddings, rank_split
from scan_lightning.similarity import SumMax, similarity_matrix


def queries(top_k: int) -> tuple[Queries, np.ndarray, np.ndarray]:
    generator = torch.Generator().manual_seed(4)
    regions, words = (torch.randn(n, 3, 8, generator=generator) for n in (7, 15))
    gold = torch.randint(0, 6, (15,), generator=generator)  # image 6 has no caption
    gold[:6] = torch.arange(6)
    rule = SumMax("t2i")
    parts = []
    for padded in (regions, words):
        parts.append(Embeddings.from_batches([(padded, torch.full((len(padded),), 3))]))
    ranks = rank_split(*parts, gold, rule, top_k=top_k)
    names = [f"image-{i}" for i in range(7)], [f"caption {c}" for c in range(15)]
    return Queries("val", ranks, *names), similarity_matrix(regions, words, rule).numpy(), gold.numpy()


def test_rows_are_the_worst_ranks_of_each_direction() -> None:
    made, scores, gold = queries(top_k=1)
    rows = hardest_queries(made, 3)
    assert [row.direction for row in rows] == ["i2t"] * 3 + ["t2i"] * 3

    i2t = []
    for image in range(6):
        right = scores[image][gold == image].max()
        i2t.append(1 + int((scores[image][gold != image] >= right).sum()))
    expected = sorted(range(6), key=lambda image: -i2t[image])[:3]
    for row, image in zip(rows[:3], expected, strict=True):
        first = int(scores[image].argmax())
        own = " | ".join(f"caption {c}" for c in np.flatnonzero(gold == image))
        assert (row.query, row.rank, row.right) == (f"image-{image}", i2t[image], own)
        assert row.first == f"caption {first}"
        assert row.score == pytest.approx(scores[image, first])

    t2i = [1 + int((np.delete(scores[:, c], gold[c]) >= scores[gold[c], c]).sum()) for c in range(15)]
    expected = sorted(range(15), key=lambda caption: -t2i[caption])[:3]
    for row, caption in zip(rows[3:], expected, strict=True):
        first = int(scores[:, caption].argmax())
        assert (row.query, row.rank) == (f"caption {caption}", t2i[caption])
        assert (row.right, row.first) == (f"image-{gold[caption]}", f"image-{first}")


def test_fewer_queries_than_asked_for_are_all_there() -> None:
    made, _, _ = queries(top_k=2)
    rows = hardest_queries(made, 100)
    assert len(rows) == 6 + 15
    assert all(len(row) == len(COLUMNS) for row in rows)


def test_ranks_without_top_lists_are_refused() -> None:
    made, _, _ = queries(top_k=0)
    with pytest.raises(ValueError, match="top_k"):
        hardest_queries(made, 3)
