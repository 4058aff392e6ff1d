"""Features from one place, captions from another: joined image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.captions import CaptionIndex
from scan_lightning.data.layouts.source import Source
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError


@dataclass(frozen=True)
class Features:
    """One image's features as read."""

    features: np.ndarray  # (k, D)
    boxes: np.ndarray | None  # (k, 4)
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Found:
    """One image in a feature file: its id there, its number of regions, and how to read it."""

    id: str
    where: str  # for messages: file and line or row
    regions: int
    read: Callable[[], Features]


def join(layout: str, root: Path, found: list[Found], feature_dim: int, captions: CaptionIndex) -> Source:
    """The images that have both features and captions, in the order of the features.

    Raises:
        ScanError: an image comes twice, or no image has both.
    """
    chosen: dict[int, Found] = {}
    strangers = 0
    for image in found:
        row = captions.find(image.id)
        if row is None:
            strangers += 1
        elif row in chosen:
            raise ScanError(
                f"{image.where}: image {image.id!r} comes twice (first {chosen[row].where}). Remove one."
            )
        else:
            chosen[row] = image
    if not chosen:
        example = found[0].id if found else "none"
        raise ScanError(
            f"{root}: none of its {len(found):,} images is in {captions.origin}. Ids of features look like "
            f"{example!r}, those of captions like {captions.entries[0].id!r}."
        )
    notes = []
    if strangers:
        notes.append(f"{strangers:,} images have features but no captions: left out.")
    bare = [entry.split for row, entry in enumerate(captions.entries) if row not in chosen]
    if bare:
        splits = ", ".join(f"{split} {count:,}" for split, count in sorted(Counter(bare).items()))
        notes.append(f"{len(bare):,} captioned images have no features here: left out ({splits}).")
    return Source(
        name=f"{layout} {root.resolve().name}, captions {captions.origin.name}",
        images=len(chosen),
        regions=sum(image.regions for image in chosen.values()),
        feature_dim=feature_dim,
        records=partial(_records, chosen, captions),
        notes=tuple(notes),
    )


def _records(chosen: dict[int, Found], captions: CaptionIndex) -> Iterator[ImageRecord]:
    for row, image in chosen.items():
        entry, read = captions.entries[row], image.read()
        yield ImageRecord(
            id=entry.id,
            split=entry.split,
            width=read.width,
            height=read.height,
            features=read.features,
            boxes=read.boxes,
            captions=entry.captions,
            where=image.where,
        )
