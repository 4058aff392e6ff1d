"""The layout that SCAN's authors released, as a source: `{split}_ims.npy` beside `{split}_caps.txt`.

`dev` becomes the store's `val`; `testall` replaces `test`, which is a part of it. What lies in the files is
said in scan_files.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.fault import FileError
from scan_lightning.data.layouts.lines import iter_lines
from scan_lightning.data.layouts.scan_files import STORE_SPLIT, SplitFiles, between_splits
from scan_lightning.data.layouts.source import Source
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError

ORIGIN = "kaggle datasets download kuanghueilee/scan-features"


def open_scan_release(root: Path) -> Source:
    """Find and check the splits of a released folder.

    Args:
        root: The folder with `{split}_ims.npy` and `{split}_caps.txt`.

    Raises:
        ScanError: no folder, no split, half a split, or a file that cannot be what it should be.
    """
    names = find_splits(root)
    notes = strangers(root)
    if {"test", "testall"} <= set(names):
        names.remove("test")
        notes.append("test_ims.npy is left out: testall_ims.npy replaces it, they overlap.")
    splits = [SplitFiles(root, name) for name in names]
    faults = [fault for split in splits for fault in split.faults] or between_splits(splits)
    if faults:
        raise _first(root, faults)
    shapes = [split.features.shape for split in splits if split.features is not None]
    return Source(
        name=f"scan-release {root.resolve().name} ({', '.join(names)})",
        images=sum(len(split.ids) for split in splits),
        regions=sum(len(split.ids) * shape[1] for split, shape in zip(splits, shapes, strict=True)),
        feature_dim=int(shapes[0][2]),
        records=partial(_records, splits),
        notes=(*notes, *(note for split in splits for note in split.notes)),
    )


def find_splits(root: Path) -> list[str]:
    """The splits that a folder has a file of.

    Raises:
        ScanError: there is no such folder, or it has none.
    """
    if root.exists() and not root.is_dir():
        raise ScanError(
            f"{root}: is a file; expected the folder with {{split}}_ims.npy and {{split}}_caps.txt."
        )
    if not root.is_dir():
        raise ScanError(
            f"{root}: there is no such folder. Give the one with {{split}}_ims.npy and {{split}}_caps.txt; "
            f"where the data that SCAN's authors released is: {ORIGIN}"
        )
    names = [
        name
        for name in STORE_SPLIT
        if (root / f"{name}_ims.npy").exists() or (root / f"{name}_caps.txt").exists()
    ]
    if not names:
        inside = sorted(path.parent.name for path in root.glob("*/*_ims.npy"))
        hint = f" Did you mean {root / inside[0]}?" if inside else ""
        raise ScanError(
            f"{root}: holds no split. Expected {{train,dev,test,testall}}_ims.npy with _caps.txt beside it."
            f"{hint} Where the data that SCAN's authors released is: {ORIGIN}"
        )
    return names


def strangers(root: Path) -> list[str]:
    """A note for each features file in a folder that belongs to no split."""
    names = sorted(path.name for path in root.glob("*_ims.npy"))
    return [
        f"{name} is left out: the splits are {', '.join(STORE_SPLIT)}; rename its files to use it."
        for name in names
        if name.removesuffix("_ims.npy") not in STORE_SPLIT
    ]


def _first(root: Path, faults: list[FileError]) -> FileError:
    """The first fault, and how to see the others."""
    first, others = faults[0], len(faults) - 1
    if not others:
        return first
    count = f"{others} more fault{'s' if others > 1 else ''}"
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


def rows_differ(split: SplitFiles, row: int, copy: int) -> FileError:
    """The fault of a redundant form whose rows are not equal five by five."""
    return FileError(
        split.file("ims.npy"),
        "inconsistent",
        f"row {copy} differs from row {row}; expected five equal rows an image, as its first five are. "
        "Is the file damaged, or are its rows shuffled?",
    )
