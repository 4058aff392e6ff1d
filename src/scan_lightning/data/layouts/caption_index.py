"""Captions and splits for layouts that hold features only: Karpathy's JSON, or caption files with ids."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scan_lightning.data.layouts.source_files import count_lines, iter_lines
from scan_lightning.errors import ScanError

# Karpathy's `restval` are COCO's validation images that he added to training.
STORE_SPLIT = {"train": "train", "restval": "train", "dev": "val", "val": "val", "test": "test"}
_AMBIGUOUS = -1


@dataclass(frozen=True)
class Entry:
    """One captioned image."""

    id: str  # its file name where that is known
    split: str
    captions: tuple[str, ...]


class CaptionIndex:
    """Captioned images of a file or folder, found by any of the names that feature files use for them."""

    def __init__(self, origin: Path, entries: Iterable[tuple[Entry, tuple[str, ...]]]) -> None:
        self.origin = origin
        self.entries: list[Entry] = []
        self._row: dict[str, int] = {}
        for entry, others in entries:
            row = len(self.entries)
            self.entries.append(entry)
            for name in {entry.id, PurePosixPath(entry.id).stem, *others}:
                self._row[name] = row if self._row.setdefault(name, row) == row else _AMBIGUOUS
        if not self.entries:
            raise ScanError(f"{origin}: holds no captioned image.")

    def find(self, name: str) -> int | None:
        """The row in `entries` of an image, by its id in a feature file; None when it has no captions."""
        for key in (name, PurePosixPath(name).stem, name.lstrip("0")):
            row = self._row.get(key)
            if row == _AMBIGUOUS:
                raise ScanError(f"{self.origin}: image {name!r} of the features fits several of its images.")
            if row is not None:
                return row
        return None


def read_captions(path: Path) -> CaptionIndex:
    """Read captions and splits.

    Args:
        path: a JSON file of Karpathy's (`dataset_coco.json`), or a folder with one of them, or a folder with
            `{split}_ids.txt` (one image a line) and `{split}_caps.txt` (as many captions for each, in order).

    Raises:
        ScanError: there are no captions, or damaged ones.
    """
    if path.is_file():
        return _karpathy(path)
    if not path.is_dir():
        raise ScanError(
            f"{path}: there is no such file or folder with captions. Give Karpathy's dataset_*.json, or a "
            "folder with {split}_ids.txt and {split}_caps.txt, as --captions."
        )
    found = sorted(path.glob("dataset*.json"))
    if len(found) == 1:
        return _karpathy(found[0])
    if found:
        names = ", ".join(file.name for file in found)
        raise ScanError(f"{path}: holds several caption files ({names}). Choose one with --captions.")
    return _caption_files(path)


def _karpathy(path: Path) -> CaptionIndex:
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        return CaptionIndex(path, [_karpathy_entry(path, image) for image in images])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScanError(
            f"{path}: is not one of Karpathy's caption files ({type(error).__name__}: {error}). Expected "
            "JSON with images, each with filename, split and sentences."
        ) from error


def _karpathy_entry(path: Path, image: dict[str, object]) -> tuple[Entry, tuple[str, ...]]:
    name, split, sentences = str(image["filename"]), str(image["split"]), image["sentences"]
    if split not in STORE_SPLIT:
        raise ScanError(f"{path}: image {name!r} has split {split!r}; expected {', '.join(STORE_SPLIT)}.")
    if not isinstance(sentences, list) or not sentences:
        raise ScanError(f"{path}: image {name!r} has no sentence. Remove it from the file.")
    captions = tuple(str(sentence["raw"]).strip() for sentence in sentences)
    others = [str(image["cocoid"])] if "cocoid" in image else []
    digits = PurePosixPath(name).stem.rsplit("_", maxsplit=1)[-1]
    if digits.isdigit():  # COCO_val2014_000000391895.jpg is image 391895 in feature files
        others.append(digits.lstrip("0"))
    return Entry(name, STORE_SPLIT[split], captions), tuple(others)


def _caption_files(folder: Path) -> CaptionIndex:
    entries: list[tuple[Entry, tuple[str, ...]]] = []
    for name in ("train", "dev", "val", "test"):
        ids_file, captions_file = folder / f"{name}_ids.txt", folder / f"{name}_caps.txt"
        if ids_file.exists() != captions_file.exists():
            missing = captions_file if ids_file.exists() else ids_file
            raise ScanError(f"{missing}: is missing. A split needs its ids and its captions.")
        if not ids_file.exists():
            continue
        ids = list(iter_lines(ids_file))
        count = count_lines(captions_file).count
        if not ids or count == 0 or count % len(ids):
            raise ScanError(
                f"{captions_file}: has {count:,} captions for the {len(ids):,} images of {ids_file.name}; "
                "expected a multiple."
            )
        captions = iter_lines(captions_file)
        each = count // len(ids)
        for image_id in ids:
            own = tuple(next(captions) for _ in range(each))
            entries.append((Entry(image_id, STORE_SPLIT[name], own), ()))
    if not entries:
        raise ScanError(
            f"{folder}: holds no captions. Expected Karpathy's dataset_*.json, or {{split}}_ids.txt with "
            "{split}_caps.txt; --captions names another place."
        )
    return CaptionIndex(folder, entries)
