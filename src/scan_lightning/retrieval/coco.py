"""ECCV Caption and Crisscrossed Captions on MS-COCO's 5,000 test images.

A caption of COCO fits more images than its own, which recall counts as wrong. Two sets of human judgements
name more right pairs: ECCV Caption (Chun et al., ECCV 2022; mAP@R and R-Precision, for the queries it judged)
and CxC (Parekh et al., EACL 2021; recall). Both come with the optional package `eccv_caption`.

Applies to a split whose image ids are those of COCO's test images (391895, COCO_val2014_000000391895.jpg or
the like) with five captions each in the released order, ranked all at once.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Indices

IMAGES, CAPTIONS_EACH = 5_000, 5
DEPTH = 50  # items of each query that must be known: ECCV knows up to 48 right captions of an image
ID = re.compile(r"(?:COCO_val2014_)?0*([1-9]\d*)(?:\.jpg)?")
KS = (1, 5, 10)


def is_coco_test(image_ids: Sequence[str]) -> bool:
    """Tell whether a split is COCO's test images and the annotations are installed."""
    if len(image_ids) != IMAGES or find_spec("eccv_caption") is None:
        return False
    return set(_numbers(image_ids)) == set(_package().coco_gts["i2t"])


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
    eccv = _package().eccv_metrics(found, "all")
    metrics = {name: eccv[name] for name in ("eccv_map_at_r", "eccv_rprecision")}
    metrics |= {f"cxc_r{k}": _package().cxc_recalls(found, "all", K=k) for k in KS}
    return {
        name: {side: 100 * float(value) for side, value in sides.items()} for name, sides in metrics.items()
    }


@cache
def _package() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ujson it warns that json is slower
        from eccv_caption import Metrics

        return Metrics()


def _numbers(image_ids: Sequence[str]) -> list[int]:
    """COCO's numbers in image ids, -1 where there is none."""
    matches = [ID.fullmatch(image_id) for image_id in image_ids]
    return [int(match.group(1)) if match else -1 for match in matches]


def _caption_ids(images: Indices, caption_image: Indices) -> Indices | None:
    """COCO's id of each caption: an image's captions are in the order of the released lists."""
    if (np.bincount(caption_image, minlength=len(images)) != CAPTIONS_EACH).any():
        return None
    owner = _package().coco_gts["t2i"]
    listed: dict[int, list[int]] = {}
    for caption in _package().coco_ids.tolist():
        listed.setdefault(owner[caption][0], []).append(caption)
    ids = np.empty(len(caption_image), np.int64)
    for image, positions in enumerate(np.split(np.argsort(caption_image, kind="stable"), len(images))):
        ids[positions] = listed[int(images[image])]
    return ids
