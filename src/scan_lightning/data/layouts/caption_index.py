"""Captioned images and the names that they go by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from scan_lightning.errors import ScanError

# Karpathy's `restval` are COCO's validation images that he added to training.
STORE_SPLIT = {"train": "train", "restval": "train", "dev": "val", "val": "val", "test": "test"}
STORE_SPLIT |= {"valid": "val", "validation": "val"}
_COCO = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d+)")
_AMBIGUOUS = -1


@dataclass(frozen=True)
class Entry:
    """One captioned image."""

    id: str  # its file name where that is known
    split: str | None  # of the store, None where nothing says it
    captions: tuple[str, ...]
    numbers: tuple[str, ...] = ()  # its number in COCO
    position: str = ""  # Karpathy's imgid: a number too, of another kind


def aliases(name: str) -> list[str]:
    """The ways one picture is named, from the exact to the short.

    >>> aliases("val2014/COCO_val2014_000000391895.jpg")[1:]
    ['COCO_val2014_000000391895.jpg', 'COCO_val2014_000000391895', '391895']
    """
    path = PurePosixPath(name)
    number = _COCO.fullmatch(path.stem)
    names = [name, path.name, path.stem, *([number[1].lstrip("0") or "0"] if number else [])]
    return list(dict.fromkeys(names))


class CaptionIndex:
    """Captioned images of a file or folder, found by any of the names that feature files use for them."""

    def __init__(self, origin: Path, entries: Iterable[Entry], notes: Sequence[str] = ()) -> None:
        self.origin, self.entries, self.notes = origin, list(entries), tuple(notes)
        if not self.entries:
            raise ScanError(f"{origin}: holds no captioned image.")
        self._names = _rows(
            [[name for key in (e.id, *e.numbers) for name in aliases(key)] for e in self.entries]
        )
        self._positions = _rows([[e.position] if e.position else [] for e in self.entries])

    def match(self, names: Sequence[str]) -> list[int | None]:
        """The row in `entries` of each image of the features, None where it has no captions.

        Numbers are Karpathy's imgid when that explains all of them and COCO's numbers do not.

        Raises:
            ScanError: a name fits several images.
        """
        by_name = [self._find(self._names, name) for name in names]
        by_position = [self._find(self._positions, name) for name in names]
        if None in by_position or by_position == by_name or not names:
            return by_name
        if None not in by_name:
            raise ScanError(
                f"{self.origin}: image {names[0]!r} of the features fits several of its images: as a "
                "number of COCO and as imgid. Name the features by the pictures' file names."
            )
        return by_position

    def _find(self, rows: dict[str, int], name: str) -> int | None:
        row = next((rows[key] for key in aliases(name) if key in rows), None)
        if row == _AMBIGUOUS:
            raise ScanError(f"{self.origin}: image {name!r} of the features fits several of its images.")
        return row

    def with_splits(self, shares: Sequence[int] | None) -> CaptionIndex:
        """The same, where nothing says a split: all of test, or divided by a hash of the id.

        Args:
            shares: of train, val and test.
        """
        if any(entry.split for entry in self.entries):
            return self
        entries = [replace(entry, split=_hashed(entry.id, shares or (0, 0, 1))) for entry in self.entries]
        note = "nothing says a split: " + (
            "divided by --split." if shares else "all images are test; --split 80/10/10 divides them."
        )
        return CaptionIndex(self.origin, entries, (*self.notes, note))

    def only(self, splits: Sequence[str] | None) -> CaptionIndex:
        """The images of some splits."""
        if splits is None:
            return self
        return CaptionIndex(self.origin, [e for e in self.entries if e.split in splits], self.notes)


def _rows(names: Iterable[Iterable[str]]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, own in enumerate(names):
        for name in own:
            rows[name] = row if rows.setdefault(name, row) == row else _AMBIGUOUS
    return rows


def _hashed(image_id: str, shares: Sequence[int]) -> str:
    value = int.from_bytes(hashlib.sha256(f"0 {image_id}".encode()).digest()[:6]) / (1 << 48) * sum(shares)
    return "train" if value < shares[0] else "val" if value < shares[0] + shares[1] else "test"
