"""The layout that SCAN's authors released: `{split}_ims.npy` beside `{split}_caps.txt`.

`_ims.npy` is float (rows, regions, width); `_caps.txt` holds one caption a line. With five captions an image,
caption c belongs to image c // 5. In the older redundant form there are as many rows as captions and every
fifth row is a new image. `dev` becomes the store's `val`; `testall` replaces `test`, which is a part of it.
`{split}_boxes.npy` (rows, regions, 4) and `{split}_ids.txt` are used where they are present.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.lines import count_lines, iter_lines, some_numbers
from scan_lightning.data.layouts.npy import map_npy
from scan_lightning.data.layouts.source import Source
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError

STORE_SPLIT = {"train": "train", "dev": "val", "test": "test", "testall": "test"}
RELEASED_CAPTIONS = 5


@dataclass(frozen=True)
class _Split:
    """One split's files, checked."""

    root: Path
    name: str
    features: np.ndarray  # (rows, k, D), memory map
    boxes: np.ndarray | None  # (rows, k, 4), memory map
    ids: list[str]  # one an image
    stride: int  # rows an image: 1, or 5 in the redundant form
    captions_each: int

    def file(self, ending: str) -> Path:
        return self.root / f"{self.name}_{ending}"


def open_scan_release(root: Path) -> Source:
    """Find and check the splits of a released folder.

    Args:
        root: The folder with `{split}_ims.npy` and `{split}_caps.txt`.

    Raises:
        ScanError: no folder, no split, half a split, or a file that cannot be what it should be.
    """
    names = _find_splits(root)
    notes: list[str] = []
    if {"test", "testall"} <= set(names):
        names.remove("test")
        notes.append("test_ims.npy is left out: testall_ims.npy replaces it, they overlap.")
    splits = [_open_split(root, name, notes) for name in names]
    _same_width(splits)
    _unique_ids(splits)
    return Source(
        name=f"scan-release {root.resolve().name} ({', '.join(names)})",
        images=sum(len(split.ids) for split in splits),
        regions=sum(len(split.ids) * split.features.shape[1] for split in splits),
        feature_dim=int(splits[0].features.shape[2]),
        records=partial(_records, splits),
        notes=tuple(notes),
    )


def _find_splits(root: Path) -> list[str]:
    if not root.is_dir():
        raise ScanError(f"{root}: there is no such folder. Give the one with train_ims.npy as --root.")
    names = []
    for name in STORE_SPLIT:
        features, captions = root / f"{name}_ims.npy", root / f"{name}_caps.txt"
        if features.exists() != captions.exists():
            there, missing = (features, captions) if features.exists() else (captions, features)
            raise ScanError(
                f"{missing}: is missing, but {there.name} is there. A split needs both: add the "
                f"missing file, or move {there.name} away to leave the split out."
            )
        if features.exists():
            names.append(name)
    if not names:
        inside = sorted(path.parent.name for path in root.glob("*/*_ims.npy"))
        hint = f" Did you mean --root {root / inside[0]}?" if inside else ""
        raise ScanError(
            f"{root}: holds no split. Expected {{train,dev,test,testall}}_ims.npy with _caps.txt beside it."
            f"{hint} The released data is on Kaggle: kuanghueilee/scan-features."
        )
    return names


def _open_split(root: Path, name: str, notes: list[str]) -> _Split:
    features_file, captions_file = root / f"{name}_ims.npy", root / f"{name}_caps.txt"
    features = map_npy(features_file, "(images, regions, width)", rank=3)
    lines = count_lines(captions_file)
    rows = len(features)
    if lines.count == 0 or lines.count % rows:
        tail = " The last line is empty; remove it?" if lines.empty and lines.empty[-1] == lines.count else ""
        raise ScanError(
            f"{captions_file}: has {lines.count:,} captions for the {rows:,} images of {features_file.name}; "
            f"expected a multiple, {rows * RELEASED_CAPTIONS:,} in the released form (or as many as images)."
            f"{tail} Are the two files from the same download?"
        )
    if lines.empty:
        notes.append(
            f"{captions_file.name}: {len(lines.empty):,} empty captions (lines {some_numbers(lines.empty)}) "
            "are kept; a model reads them as start + end."
        )
    stride = RELEASED_CAPTIONS if lines.count == rows and _repeats(features) else 1
    each = RELEASED_CAPTIONS if stride > 1 else lines.count // rows
    if stride > 1:
        notes.append(f"{features_file.name}: each image is there {stride} times (the older form); kept once.")
    elif each != RELEASED_CAPTIONS:
        notes.append(f"{captions_file.name}: {each} captions an image; the released files have 5.")
    boxes_file = root / f"{name}_boxes.npy"
    boxes = map_npy(boxes_file, "(images, regions, 4)", rank=3) if boxes_file.exists() else None
    if boxes is not None and boxes.shape != (*features.shape[:2], 4):
        raise ScanError(
            f"{boxes_file}: has shape {boxes.shape}; expected {(*features.shape[:2], 4)}, "
            f"one box a region of {features_file.name}."
        )
    return _Split(root, name, features, boxes, _ids(root, name, rows, stride), stride, each)


def _repeats(features: np.ndarray) -> bool:
    """Whether the first five rows are one image: the mark of the redundant form."""
    if len(features) % RELEASED_CAPTIONS:
        return False
    return all(np.array_equal(features[0], features[row]) for row in range(1, RELEASED_CAPTIONS))


def _ids(root: Path, name: str, rows: int, stride: int) -> list[str]:
    path = root / f"{name}_ids.txt"
    if not path.exists():
        return [f"{name}_{index}" for index in range(rows // stride)]
    ids = list(iter_lines(path))
    if len(ids) != rows:
        raise ScanError(f"{path}: has {len(ids):,} ids for {rows:,} images; expected one a line and image.")
    if "" in ids:
        raise ScanError(f"{path}: line {ids.index('') + 1} is empty; expected an id.")
    return ids[::stride]


def _same_width(splits: list[_Split]) -> None:
    first = splits[0]
    for split in splits[1:]:
        if split.features.shape[2] != first.features.shape[2]:
            raise ScanError(
                f"{split.file('ims.npy')}: features are {split.features.shape[2]} wide, those of "
                f"{first.file('ims.npy').name} {first.features.shape[2]}. All splits need the same width."
            )


def _unique_ids(splits: list[_Split]) -> None:
    seen: dict[str, tuple[Path, int]] = {}
    for split in splits:
        path = split.file("ids.txt")
        for index, image_id in enumerate(split.ids):
            line = index * split.stride + 1
            if image_id in seen:
                first_path, first_line = seen[image_id]
                raise ScanError(
                    f"{path}: line {line}: id {image_id!r} was used already ({first_path.name}, line "
                    f"{first_line}). Ids must be unique over all splits."
                )
            seen[image_id] = (path, line)


def _records(splits: list[_Split]) -> Iterator[ImageRecord]:
    for split in splits:
        captions = iter_lines(split.file("caps.txt"))
        for index, image_id in enumerate(split.ids):
            row = index * split.stride
            features = np.array(split.features[row])
            for copy in range(row + 1, row + split.stride):
                if not np.array_equal(features, split.features[copy], equal_nan=True):
                    raise ScanError(
                        f"{split.file('ims.npy')}: row {copy} differs from row {row}; expected five equal "
                        "rows an image, as its first five are. Is the file damaged, or are its rows shuffled?"
                    )
            yield ImageRecord(
                id=image_id,
                split=STORE_SPLIT[split.name],
                width=0,
                height=0,
                features=features,
                boxes=None if split.boxes is None else split.boxes[row],
                captions=list(islice(captions, split.captions_each)),
            )
