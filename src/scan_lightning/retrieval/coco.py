"""ECCV Caption and Crisscrossed Captions on MS-COCO's 5,000 test images.

A caption of COCO fits more images than its own, which recall counts as wrong. Two sets of human judgements
name more right pairs: ECCV Caption (Chun et al., ECCV 2022; mAP@R and R-Precision, for the queries it judged)
and CxC (Parekh et al., EACL 2021; recall). Both come with the optional package `eccv_caption`; only its
annotations are used.

Applies to a split whose image ids are those of COCO's test images (391895, COCO_val2014_000000391895.jpg or
the like) with five captions each in the released order, ranked all at once.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np

from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Indices

Right: TypeAlias = dict[int, set[int]]  # a query's id: the ids of all that is right for it

IMAGES, CAPTIONS_EACH = 5_000, 5
DEPTH = 50  # items of each query that must be known: ECCV knows up to 48 right captions of an image
ID = re.compile(r"(?:COCO_val2014_)?0*([1-9]\d*)(?:\.jpg)?")
KS = (1, 5, 10)


def is_coco_test(image_ids: Sequence[str]) -> bool:
    """Tell whether a split is COCO's test images and the annotations are installed."""
    if len(image_ids) != IMAGES or find_spec("eccv_caption") is None:
        return False
    return set(_numbers(image_ids)) == set(_annotations().coco_gts["i2t"])


def coco_metrics(queries: Queries) -> dict[str, dict[str, float]] | None:
    """Return ECCV mAP@R and R-Precision and CxC recall in percent, each `{"i2t", "t2i"}`.

    None where they do not apply: other images, folds, too few items kept for each query, or the package is
    not installed.
    """
    ranks, top = queries.ranks, queries.ranks.top
    if top is None or ranks.folds != 1 or top.t2i.shape[1] < DEPTH or not is_coco_test(queries.image_ids):
        return None
    images = np.array(_numbers(queries.image_ids))
    captions = _caption_ids(images, ranks.t2i_images)
    if captions is None:
        return None
    found = {
        "i2t": dict(zip(images[ranks.i2t_images].tolist(), captions[top.i2t].tolist(), strict=True)),
        "t2i": dict(zip(captions.tolist(), images[top.t2i].tolist(), strict=True)),
    }
    package = _annotations()
    eccv, cxc = (
        {side: {query: set(items) for query, items in gold[side].items()} for side in found}
        for gold in (package.eccv_gts, package.cxc_gts)
    )
    return {
        "eccv_map_at_r": {side: map_at_r(found[side], eccv[side]) for side in found},
        "eccv_rprecision": {side: r_precision(found[side], eccv[side]) for side in found},
        **{f"cxc_r{k}": {side: recall_at(k, found[side], cxc[side]) for side in found} for k in KS},
    }


def map_at_r(found: dict[int, list[int]], right: Right) -> float:
    """Mean average precision at R, percent: R is the number of right items of a query.

    Args:
        found: items of each query, best first, at least R of them.
        right: the queries that count, with what is right for each.

    >>> map_at_r({1: [7, 9, 8]}, {1: {7, 8}})
    50.0
    """
    values = []
    for query, items in right.items():
        hits = np.array([item in items for item in found[query][: len(items)]])
        precision = hits.cumsum() / np.arange(1, len(hits) + 1)
        values.append(float((precision * hits).mean()))
    return 100 * float(np.mean(values))


def r_precision(found: dict[int, list[int]], right: Right) -> float:
    """Share of the first R items that are right, percent, averaged over queries; arguments of `map_at_r`."""
    shares = [
        len(items.intersection(found[query][: len(items)])) / len(items) for query, items in right.items()
    ]
    return 100 * float(np.mean(shares))


def recall_at(k: int, found: dict[int, list[int]], right: Right) -> float:
    """Percentage of queries with a right item among the first k; arguments of `map_at_r`."""
    return 100 * float(np.mean([not items.isdisjoint(found[query][:k]) for query, items in right.items()]))


@cache
def _annotations() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ujson it warns that json is slower
        from eccv_caption import Metrics

        return Metrics()


def _numbers(image_ids: Sequence[str]) -> list[int]:
    """COCO's numbers in image ids, -1 where there is none."""
    matches = [ID.fullmatch(image_id) for image_id in image_ids]
    return [int(match.group(1)) if match else -1 for match in matches]


def _caption_ids(images: Indices, caption_image: Indices) -> Indices | None:
    """COCO's id of each caption: an image's captions stand in the order of the released lists."""
    if (np.bincount(caption_image, minlength=len(images)) != CAPTIONS_EACH).any():
        return None
    owner = _annotations().coco_gts["t2i"]
    listed: dict[int, list[int]] = {}
    for caption in _annotations().coco_ids.tolist():
        listed.setdefault(owner[caption][0], []).append(caption)
    ids = np.empty(len(caption_image), np.int64)
    for image, positions in enumerate(np.split(np.argsort(caption_image, kind="stable"), len(images))):
        ids[positions] = listed[int(images[image])]
    return ids
