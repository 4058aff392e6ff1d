"""The layout that SCAN's authors released, as a source: `{split}_ims.npy` beside `{split}_caps.txt`.

`dev` becomes the store's `val`; `testall` replaces `test`, which is a part of it. `scan_files.py` says what
lies in the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.caption_files import read_captions
from scan_lightning.data.layouts.caption_index import CaptionIndex
from scan_lightning.data.layouts.scan_files import STORE_SPLIT, SplitFiles, between_splits
from scan_lightning.data.layouts.source_files import FileError, iter_lines
from scan_lightning.data.layouts.sources import Source
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError

ORIGIN = "kaggle datasets download kuanghueilee/scan-features"


def open_source(root: Path, captions: Path | None = None) -> Source:
    """Find and check the splits of a released folder; ids are the pictures' names that `captions` says."""
    names = find_splits(root)
    notes = left_out(root)
    if {"test", "testall"} <= set(names):
        names.remove("test")
        notes.append("test_ims.npy is left out: testall_ims.npy replaces it, they overlap.")
    splits = [SplitFiles(root, name) for name in names]
    errors = [error for split in splits for error in split.errors]
    if captions and not errors:
        name_pictures(splits, read_captions(captions))
    errors = errors or between_splits(splits)
    if errors:
        raise _first(root, errors)
    shapes = [split.features.shape for split in splits if split.features is not None]
    return Source(
        name=f"scan-release {root.resolve().name} ({', '.join(names)})",
        images=sum(len(split.ids) for split in splits),
        regions=sum(len(split.ids) * shape[1] for split, shape in zip(splits, shapes, strict=True)),
        feature_dim=int(shapes[0][2]),
        records=partial(_records, splits),
        notes=(*notes, *(note for split in splits for note in split.notes)),
    )


def name_pictures(splits: list[SplitFiles], index: CaptionIndex) -> None:
    """Replace the ids of splits by the pictures' names, found by most of their captions.

    Raises:
        ScanError: an image has no picture.
    """
    rows: dict[str, set[int]] = {}
    for row, entry in enumerate(index.entries):
        for text in entry.captions:
            rows.setdefault(_letters(text), set()).add(row)
    for split in splits:
        lines, each = iter_lines(split.file("caps.txt")), split.captions_each
        for image in range(len(split.ids)):
            own = list(islice(lines, each))
            votes = Counter(row for text in own for row in rows.get(_letters(text), ())).most_common(2)
            if not votes or votes[0][1] * 2 <= each or (len(votes) > 1 and votes[0][1] == votes[1][1]):
                raise ScanError(
                    f"{split.file('caps.txt')}: the captions from line {image * each + 1} on are of no one "
                    f"picture in {index.origin}. Is it the file of another data set?"
                )
            split.ids[image] = index.entries[votes[0][0]].id


def _letters(text: str) -> str:
    """A caption as every tokeniser leaves it."""
    return "".join(filter(str.isalnum, text.lower()))


def find_splits(root: Path) -> list[str]:
    """The splits that a folder has a file of.

    Raises:
        ScanError: no such folder, or it has none.
    """
    files = "{split}_ims.npy and {split}_caps.txt"
    if root.exists() and not root.is_dir():
        raise ScanError(f"{root}: is a file; expected the folder with {files}.")
    if not root.is_dir():
        raise ScanError(
            f"{root}: there is no such folder. Give the one with {files}; where the data that SCAN's authors "
            f"released is: {ORIGIN}"
        )
    endings = ("ims.npy", "caps.txt")
    names = [name for name in STORE_SPLIT if any((root / f"{name}_{end}").exists() for end in endings)]
    if not names:
        inside = sorted(path.parent.name for path in root.glob("*/*_ims.npy"))
        hint = f" Did you mean {root / inside[0]}?" if inside else ""
        raise ScanError(
            f"{root}: holds no split. Expected {{train,dev,test,testall}}_ims.npy with _caps.txt beside it."
            f"{hint} Where the data that SCAN's authors released is: {ORIGIN}"
        )
    return names


def left_out(root: Path) -> list[str]:
    """A note for each features file in a folder that belongs to no split."""
    names = sorted(path.name for path in root.glob("*_ims.npy"))
    return [
        f"{name} is left out: the splits are {', '.join(STORE_SPLIT)}; rename its files to use it."
        for name in names
        if name.removesuffix("_ims.npy") not in STORE_SPLIT
    ]


def rows_differ(split: SplitFiles, row: int, copy: int) -> FileError:
    """The error of a redundant form whose rows are not equal five by five."""
    detail = (
        f"row {copy} differs from row {row}; expected five equal rows an image, as its first five are. Is "
        "the file damaged, or are its rows shuffled?"
    )
    return split.error("ims.npy", "inconsistent", detail)


def _first(root: Path, errors: list[FileError]) -> FileError:
    """The first error, and how to see the others."""
    first, others = errors[0], len(errors) - 1
    if not others:
        return first
    count = f"{others} more problem{'s' if others > 1 else ''}"
    more = f"{count}: scan-lightning data check --layout scan-release {root}"
    return FileError(first.path, first.state, f"{first.detail} ({more})")


def _records(splits: list[SplitFiles]) -> Iterator[ImageRecord]:
    for split in splits:
        captions = iter_lines(split.file("caps.txt"))
        table, boxes = split.features, split.boxes
        assert table is not None
        for index, image_id in enumerate(split.ids):
            row = split.row_of(index)
            features = np.array(table[row])
            for copy in range(row + 1, row + split.stride):
                if not np.array_equal(features, table[copy], equal_nan=True):
                    raise rows_differ(split, row, copy)
            yield ImageRecord(
                id=image_id,
                split=STORE_SPLIT[split.name],
                width=0,
                height=0,
                features=features,
                boxes=None if boxes is None else boxes[row],
                captions=list(islice(captions, split.captions_each)),
                where=f"{split.file('ims.npy')}: row {row}",
                boxes_where="" if boxes is None else f"{split.file('boxes.npy')}: row {row}",
            )
