"""The layouts that `data build` reads, by name, and what each gives: totals, then records one by one."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.caption_files import read_captions
from scan_lightning.data.layouts.caption_index import CaptionIndex, Entry
from scan_lightning.data.layouts.source_files import find_files, reading
from scan_lightning.data.region_writer import FeatureCaster
from scan_lightning.data.writer import ImageRecord, checked_arrays
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.progress import progress

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
    readers: Sequence[Callable[[], ImageRecord]] = ()  # each record by itself, where the layout can


def open_layout(
    name: str,
    root: Path,
    captions: Path | None = None,
    shares: Sequence[int] | None = None,
    splits: Sequence[str] | None = None,
) -> Source:
    """Find, count and check a data set.

    Args:
        name: one of LAYOUTS.
        root: the folder with the files, or one file.
        captions: where the captions are, by default beside the features; for scan-release Karpathy's JSON
            with the pictures' names.
        shares: of train, val and test, where the captions say no split; all is test without it.
        splits: only these; by default all that the captions have.

    Raises:
        ScanError: whatever the layout finds wrong, now or while its records are read.
    """
    layout = import_module(f"scan_lightning.data.layouts.{name.replace('-', '_')}")
    with reading(root):
        if name == "scan-release":
            if shares or splits:
                warnings.warn(
                    "--split and --splits have no effect on scan-release", ScanWarning, stacklevel=2
                )
            source: Source = layout.open_source(root, captions)
        else:
            find_files(root, layout.FILES)  # its message comes first
            index = read_captions(captions or (root.parent if root.is_file() else root))
            if shares and any(entry.split for entry in index.entries):
                warnings.warn("--split has no effect: the captions say the splits", ScanWarning, stacklevel=2)
            source = layout.open_source(root, index.with_splits(shares).only(splits))
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

    def equals(self, other: Features) -> bool:
        """Whether all is the same."""
        return all(
            np.array_equal(np.nan if one is None else one, np.nan if two is None else two, equal_nan=True)
            for one, two in zip(vars(self).values(), vars(other).values(), strict=True)
        )


@dataclass(frozen=True)
class Found:
    """One image in a feature file: its id there, its number of regions, and how to read it."""

    id: str
    where: str  # for messages: file and line or row
    regions: int
    read: Callable[[], Features]
    suspect: bool = False  # whether reading it may fail


def join(
    layout: str,
    root: Path,
    found: list[Found],
    feature_dim: int,
    captions: CaptionIndex,
    notes: Sequence[str] = (),
) -> Source:
    """The images that have both features and captions, in the order of the features.

    Raises:
        ScanError: an image is damaged or comes twice with different features, no image has both, or a whole
            split has no features.
    """
    copies: dict[int, list[Found]] = {}
    rows = captions.match([image.id for image in found])
    for row, image in zip(rows, found, strict=True):
        if row is not None:
            copies.setdefault(row, []).append(image)
    chosen = {row: _whole(images) for row, images in copies.items()}
    if not chosen:
        example = found[0].id if found else "none"
        raise ScanError(
            f"{root}: none of its {len(found):,} images is in {captions.origin}. Ids of features look like "
            f"{example!r}, those of captions like {captions.entries[0].id!r}."
        )
    notes = [*captions.notes, *notes]
    if twice := sum(len(images) - 1 for images in copies.values()):
        notes.append(f"{twice:,} rows repeat an image or are damaged copies of a whole one: left out.")
    if without_captions := rows.count(None):
        notes.append(f"{without_captions:,} images have features but no captions: left out.")
    without_features = Counter(
        str(entry.split) for row, entry in enumerate(captions.entries) if row not in chosen
    )
    there = {captions.entries[row].split for row in chosen}
    lost = sorted(set(without_features) - there)
    if lost:
        raise ScanError(
            f"{root}: none of the {without_features[lost[0]]:,} images of split {lost[0]} in "
            f"{captions.origin} has features here; a build would lose the split. Is a file or folder "
            f"missing? To leave it out, give --splits {' '.join(sorted(map(str, there)))}."
        )
    if without_features:
        splits = ", ".join(f"{split} {count:,}" for split, count in sorted(without_features.items()))
        notes.append(
            f"{without_features.total():,} captioned images have no features here: left out ({splits})."
        )
    readers = [partial(_record, image, captions.entries[row]) for row, image in chosen.items()]
    return Source(
        name=f"{layout} {root.resolve().name}, captions {captions.origin.name}",
        images=len(chosen),
        regions=sum(image.regions for image in chosen.values()),
        feature_dim=feature_dim,
        records=lambda: (read() for read in readers),
        notes=tuple(notes),
        readers=readers,
    )


def _whole(images: list[Found]) -> Found:
    """Of an image's copies the first that is whole; all whole ones have to be equal."""
    if len(images) == 1 and not images[0].suspect:
        return images[0]
    whole: list[tuple[Found, Features]] = []
    damage: ScanError | None = None
    for image in images:
        try:
            features = image.read()
        except ScanError as error:
            damage = damage or error
            continue
        if whole and not whole[0][1].equals(features):
            raise ScanError(
                f"{image.where}: image {image.id!r} comes twice with different features (first "
                f"{whole[0][0].where}). Remove one."
            )
        whole.append((image, features))
    if not whole:
        assert damage is not None
        raise damage
    return whole[0][0]


def _record(image: Found, entry: Entry) -> ImageRecord:
    read = image.read()
    sizes = read.width, read.height
    return ImageRecord(
        entry.id, str(entry.split), *sizes, read.features, read.boxes, entry.captions, where=image.where
    )


def check_layout(source: Source, root: Path) -> list[str]:
    """Read everything that a build would; a line for each image that is damaged or cannot be stored."""
    problems, caster = [], FeatureCaster("float32", source.feature_dim)
    with progress("reading values", len(source.readers), "images") as advance:
        for read in source.readers:
            try:
                with reading(root):
                    checked_arrays(read(), caster)
            except ScanError as error:
                problems.append(str(error))
            advance(1)
    return problems
