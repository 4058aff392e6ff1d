"""Write a store: records in, one complete and sealed HDF5 file out, or nothing at all."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scan_lightning.data.boxes import are_shares, stored_boxes
from scan_lightning.data.caption_writer import CaptionWriter, Link, write_array
from scan_lightning.data.format import FEATURE_DTYPES, FORMAT, SPLIT_CODES, TEXT_BYTES, VERSION, split_dtype
from scan_lightning.data.hdf5_file import new_file, reserve
from scan_lightning.data.header import refuse_other_file
from scan_lightning.data.region_writer import BlockWriter, FeatureCaster
from scan_lightning.data.seal import write_seal
from scan_lightning.data.text import tokenizer
from scan_lightning.errors import ScanError
from scan_lightning.files import atomic_file, writing
from scan_lightning.progress import progress as show_progress

_SIZE_LIMIT = 1 << 31  # pixels are stored as int32


@dataclass(frozen=True)
class ImageRecord:
    """One image with everything a store keeps of it.

    Args:
        id: Unique in the store; where there is a picture, its file name.
        split: `train`, `val` or `test`.
        width: Of the picture in pixels, 0 when unknown.
        height: Of the picture in pixels, 0 when unknown.
        features: (k, D) float, k >= 1.
        boxes: (k, 4) x1 y1 x2 y2 in pixels, None when unknown.
        captions: Any number; an empty string is kept and has no tokens.
        links: Gold (caption index, character offset where the word starts, region index) within the record.
        where: The file and the place in it that the record was read from, for messages.
        boxes_where: The same of the boxes, when they come from another file.
    """

    id: str
    split: str
    width: int
    height: int
    features: np.ndarray
    boxes: np.ndarray | None
    captions: Sequence[str]
    links: Sequence[Link] = ()
    where: str = ""
    boxes_where: str = ""


def write_store(
    path: str | Path,
    records: Iterable[ImageRecord],
    *,
    source: str,
    feature_dim: int,
    images: int,
    regions: int,
    dtype: str = "float16",
    tokenizer_name: str = "spacy-en-lower",
    progress: bool = True,
    overwrite: bool = True,
) -> tuple[str, ...]:
    """Write records to a store; features are never all in memory.

    Args:
        path: The store. It appears when it is complete, checked and on the disk; on any error or Ctrl-C
            there is nothing under this name, or still the file that was there before.
        records: `images` records with `regions` regions in all, in the order they shall be stored.
        source: Where the data comes from, in words.
        feature_dim: D, the width of every feature.
        images: Number of records, at least one (a contiguous dataset cannot grow).
        regions: Number of regions of all records.
        dtype: `float16` or `float32`, how features are stored.
        tokenizer_name: Key of `text.TOKENIZERS`.
        progress: Show progress on stderr.
        overwrite: Replace an existing store; False refuses. Another file is never replaced.

    Returns:
        What the user should know about how the records were stored.

    Raises:
        ScanError: a record is wrong, totals differ, or the file cannot be written.
    """
    if dtype not in FEATURE_DTYPES:
        raise ScanError(f"dtype {dtype!r}: a store holds {' or '.join(FEATURE_DTYPES)}.")
    target = Path(path)
    if overwrite:
        refuse_other_file(target)
    needed = regions * (feature_dim * np.dtype(dtype).itemsize + 16)
    with atomic_file(target, overwrite=overwrite, needed_bytes=needed) as partial:
        with new_file(partial, target) as file:
            attributes = {"source": source, "feature_dim": feature_dim, "tokenizer": tokenizer_name}
            writer = _StoreWriter(file, target, attributes, images, regions, dtype)
            with show_progress(f"writing {target.name}", images, shown=progress) as advance:
                for record in records:
                    writer.add(record)
                    advance(1)
            with writing(target):
                start, count = writer.finish()
        with writing(target):
            write_seal(partial, start, count)
    return tuple(writer.notes)


def checked_arrays(record: ImageRecord, caster: FeatureCaster) -> tuple[np.ndarray, np.ndarray]:
    """Features (k, D) and boxes (k, 4) of a record as a store holds them; a ScanError says what is wrong."""
    place = f"{record.where}: " if record.where else ""
    name = f"{place}image {record.id!r}"
    _require_storable(name, (record.id, *record.captions))
    if not (0 <= record.width < _SIZE_LIMIT and 0 <= record.height < _SIZE_LIMIT):
        raise ScanError(
            f"{name}: the picture is {record.width} x {record.height} pixels; expected sizes from 0 "
            "(unknown) on. Correct the source file."
        )
    if record.split not in SPLIT_CODES:
        raise ScanError(f"{name}: split {record.split!r}; expected {', '.join(SPLIT_CODES)}.")
    name = f"image {record.id!r} (split {record.split})"
    features = caster.cast(record.features, f"{place}{name}")
    place = f"{record.boxes_where}: " if record.boxes_where else place
    boxes = stored_boxes(record.boxes, len(features), record.width, record.height, f"{place}{name}")
    return features, boxes


class _StoreWriter:
    """The state of one store being written."""

    def __init__(
        self,
        file: h5py.File,
        target: Path,
        attributes: dict[str, Any],
        images: int,
        regions: int,
        dtype: str,
    ) -> None:
        self.file, self.target = file, target
        self.images, self.regions = images, regions
        self.ids: dict[str, str] = {}  # id -> split
        self.sizes: list[tuple[int, int]] = []
        self.offsets = [0]
        self.shares, self.boxed = True, 0  # whether all boxes are shares of the picture; how many are known
        self.notes: list[str] = []
        self.caster = FeatureCaster(dtype, attributes["feature_dim"])
        with writing(target):
            reserve(file)
            for group in ("image", "region", "caption", "lexicon", "checksum"):
                file.create_group(group)
            created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            attributes = {"format": FORMAT, "version": VERSION, "created": created, **attributes}
            for name, value in attributes.items():  # strings of fixed length: HDF5 can hang on its heaps
                file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
            shape = (regions, attributes["feature_dim"])
            self.features = BlockWriter(file, "region/features", shape, dtype)
            self.boxes = BlockWriter(file, "region/boxes", (regions, 4), "float32")
            self.captions = CaptionWriter(file, tokenizer(attributes["tokenizer"]))

    def add(self, record: ImageRecord) -> None:
        """Check and append one image."""
        place = f"{record.where}: " if record.where else ""
        name = f"{place}image {record.id!r}"
        if not record.id:
            raise ScanError(f"{place}image {len(self.ids)} (counted from 0): has an empty id.")
        if record.id in self.ids:
            raise ScanError(
                f"{name}: comes twice ({self.ids[record.id]}, {record.split}). "
                "Ids must be unique over all splits; remove one or give it another id."
            )
        features, boxes = checked_arrays(record, self.caster)
        self.shares &= are_shares(boxes)
        self.boxed += int(np.isfinite(boxes[:, 0]).sum())
        row, region = len(self.ids), self.offsets[-1]
        if row == self.images or region + len(features) > self.regions:
            self._raise_totals(row + 1, region + len(features), "at least ")
        self.ids[record.id] = record.split
        self.sizes.append((record.width, record.height))
        self.offsets.append(region + len(features))
        with writing(self.target):
            self.features.append(features)
            self.boxes.append(boxes)
            self.captions.add(record.captions, record.links, record.split, row, region)

    def finish(self) -> tuple[int, int]:
        """Write what waits and the attribute `complete`; where the feature array lies and its bytes."""
        if (len(self.ids), self.offsets[-1]) != (self.images, self.regions):
            self._raise_totals(len(self.ids), self.offsets[-1], "")
        self.features.finish()
        if self.shares and self.boxed:
            self._scale_boxes()
        self.boxes.finish()
        self.captions.finish()
        codes = np.array([SPLIT_CODES[split] for split in self.ids.values()], dtype=split_dtype())
        write_array(self.file, "image/id", np.array(list(self.ids), dtype=object))
        write_array(self.file, "image/split", codes)
        write_array(self.file, "image/size", np.array(self.sizes, dtype=np.int32))
        write_array(self.file, "region/offsets", np.array(self.offsets, dtype=np.int64))
        stored = self.features.dataset.id
        reserve(self.file)
        self.file.flush()
        self.file.attrs["complete"] = True
        return stored.get_offset(), stored.get_storage_size()

    def _scale_boxes(self) -> None:
        """Bring boxes that are shares of the picture to pixels; they are unknown where its size is."""
        sizes, offsets = np.array(self.sizes, dtype=np.float32), np.array(self.offsets)
        sizes[(sizes == 0).any(axis=1)] = np.nan

        def scaled(first: int, boxes: np.ndarray) -> np.ndarray:
            owners = np.searchsorted(offsets, np.arange(first, first + len(boxes)), side="right") - 1
            pixels: np.ndarray = np.clip(boxes, 0, 1) * np.tile(sizes[owners], 2)
            return pixels

        self.boxes.rewrite(scaled)
        lost = int(np.isnan(sizes[:, 0]).sum())
        unknown = f", unknown for {lost:,} images without a size" if lost else ""
        self.notes.append(f"all boxes lie between 0 and 1: scaled by the pictures' sizes to pixels{unknown}.")

    def _raise_totals(self, images: int, regions: int, least: str) -> None:
        raise ScanError(
            f"{self.target}: the source gave {least}{images:,} images with {regions:,} regions after "
            f"{self.images:,} images with {self.regions:,} regions had been counted. "
            "Did its files change during the build? Start again."
        )


def _require_storable(name: str, texts: Iterable[str]) -> None:
    """HDF5 ends a string at a zero byte, and surrogates (from broken JSON) have no UTF-8."""
    for text in texts:
        if "\0" in text:
            raise ScanError(f"{name}: the string {text!r} holds a zero byte. Correct the source file.")
        try:
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise ScanError(f"{name}: the string {text!r} is not UTF-8. Correct the source file.") from error
        if size > TEXT_BYTES:
            raise ScanError(
                f"{name}: the string {text[:40]!r}... has {size:,} bytes; a store takes {TEXT_BYTES:,}. "
                "Shorten it."
            )
