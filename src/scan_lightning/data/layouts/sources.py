"""The layouts that `data build` reads, by name, and what each gives: totals, then records one by one."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.caption_index import CaptionIndex
from scan_lightning.data.layouts.source_files import reading
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError, ScanWarning

LAYOUTS = ("scan-release", "bottom-up-tsv", "npz-folder", "hdf5-vqa")


@dataclass(frozen=True)
class Source:
    """A data set found on disk, checked as far as that goes without reading features."""

    name: str  # the store's attribute `source`
    images: int
    regions: int  # of all images
    feature_dim: int
    records: Callable[[], Iterator[ImageRecord]]  # starts reading, an image at a time
    notes: tuple[str, ...] = ()  # what the user should know about the data


def open_layout(name: str, root: Path, captions: Path | None = None) -> Source:
    """Find, count and check a data set.

    Args:
        name: one of LAYOUTS.
        root: the folder with the files.
        captions: where the captions are, for layouts that hold features only; by default `root`.

    Raises:
        ScanError: whatever the layout finds wrong, now or while its records are read.
    """
    layout = import_module(f"scan_lightning.data.layouts.{name.replace('-', '_')}")
    if captions is not None and name == "scan-release":
        warnings.warn("--captions has no effect: scan-release has its own", ScanWarning, stacklevel=2)
    with reading(root):
        source: Source = layout.open_source(root, captions)
    return replace(source, records=lambda: _guarded(source, root))


def _guarded(source: Source, root: Path) -> Iterator[ImageRecord]:
    records = source.records()
    while True:
        with reading(root):
            record = next(records, None)
        if record is None:
            return
        yield record


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
    without_captions = 0
    for image in found:
        row = captions.find(image.id)
        if row is None:
            without_captions += 1
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
    if without_captions:
        notes.append(f"{without_captions:,} images have features but no captions: left out.")
    without_features = [entry.split for row, entry in enumerate(captions.entries) if row not in chosen]
    if without_features:
        splits = ", ".join(f"{split} {count:,}" for split, count in sorted(Counter(without_features).items()))
        notes.append(
            f"{len(without_features):,} captioned images have no features here: left out ({splits})."
        )
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
        sizes = read.width, read.height
        yield ImageRecord(
            entry.id, entry.split, *sizes, read.features, read.boxes, entry.captions, where=image.where
        )
