"""The files of one split in the released layout: each opened on its own, so that every error is found.

`{split}_ims.npy` is float (rows, regions, width); `{split}_caps.txt` holds one caption a line. With five
captions an image, caption c belongs to image c // 5. In the older redundant form there are as many rows as
captions and every fifth row is a new image. `{split}_boxes.npy` (rows, regions, 4) and `{split}_ids.txt` are
used where they are present.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.npy import map_npy
from scan_lightning.data.layouts.source_files import (
    FileError,
    LineCount,
    collect,
    count_lines,
    iter_lines,
    some_numbers,
)

STORE_SPLIT = {"train": "train", "dev": "val", "test": "test", "testall": "test"}
RELEASED_CAPTIONS = 5


class SplitFiles:
    """One split, as far as its files can be opened without reading features.

    Args:
        root: the folder.
        name: a key of STORE_SPLIT.

    Attributes:
        features: (rows, k, D) memory map, None when the file is damaged or missing.
        lines: of the captions' file, None when it is damaged or missing.
        boxes: (rows, k, 4) memory map, None when there is none or it is damaged.
        stride: rows an image: 1, or 5 in the redundant form.
        captions_each: captions an image, once `errors` is empty.
        ids: one an image, once `errors` is empty.
        errors: what is wrong with the files, all of it.
        notes: what the user should know about them, one line each.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.errors: list[FileError] = []
        self.notes: list[str] = []
        self.stride, self.captions_each = 1, 0
        self.features = self.boxes = None
        self.lines: LineCount | None = None
        features, captions, boxes = self.file("ims.npy"), self.file("caps.txt"), self.file("boxes.npy")
        if self._has_both(features, captions):
            self.features = collect(
                self.errors, lambda: map_npy(features, "(images, regions, width)", rank=3)
            )
        if captions.exists():
            self.lines = collect(self.errors, lambda: count_lines(captions))
        if self.features is not None and self.lines is not None:
            self._fit_captions(self.features, self.lines)
        if boxes.exists():
            self.boxes = collect(self.errors, lambda: map_npy(boxes, "(images, regions, 4)", rank=3))
        self._fit_boxes()
        self.ids = collect(self.errors, self._read_ids) or []

    def file(self, ending: str) -> Path:
        """The split's file with this ending, as in `ims.npy`."""
        return self.root / f"{self.name}_{ending}"

    def error(self, ending: str, state: str, detail: str) -> FileError:
        """What is wrong with the file of this ending."""
        return FileError(self.file(ending), state, detail)

    def row_of(self, image: int) -> int:
        """The first row of an image, the same in features, boxes and ids; rows count from 0."""
        return image * self.stride

    def _has_both(self, features: Path, captions: Path) -> bool:
        if features.exists() and captions.exists():
            return True
        there, missing = (features, captions) if features.exists() else (captions, features)
        detail = (
            f"is missing, but {there.name} is there. A split needs both: add the missing file, or move "
            f"{there.name} away to leave the split out."
        )
        self.errors.append(FileError(missing, "missing", detail))
        return features.exists()

    def _fit_captions(self, features: np.ndarray, lines: LineCount) -> None:
        """Find out the form of the split by its two numbers."""
        images, captions = self.file("ims.npy").name, self.file("caps.txt").name
        rows = len(features)
        if lines.count == 0 or lines.count % rows:
            ends_empty = lines.empty and lines.empty[-1] == lines.count
            detail = (
                f"has {lines.count:,} captions for the {rows:,} images of {images}; expected a multiple, "
                f"{rows * RELEASED_CAPTIONS:,} in the released form (or as many as images)."
                f"{' The last line is empty; remove it?' if ends_empty else ''} Are the two files from the "
                "same download?"
            )
            self.errors.append(self.error("caps.txt", "inconsistent", detail))
            return
        if lines.empty:
            self.notes.append(
                f"{captions}: {len(lines.empty):,} empty captions (lines {some_numbers(lines.empty)}) are "
                "kept; a model reads them as start + end."
            )
        self.stride = RELEASED_CAPTIONS if lines.count == rows and _repeats(features) else 1
        self.captions_each = RELEASED_CAPTIONS if self.stride > 1 else lines.count // rows
        if self.stride > 1:
            self.notes.append(
                f"{images}: each image is there {self.stride} times (the older form); kept once."
            )
        elif self.captions_each != RELEASED_CAPTIONS:
            self.notes.append(
                f"{captions}: {self.captions_each} captions an image; the released files have 5."
            )

    def _fit_boxes(self) -> None:
        if self.boxes is None:
            return
        found = self.boxes.shape
        expected = (*(found if self.features is None else self.features.shape)[:2], 4)
        if found != expected:
            self.boxes = None
            detail = (
                f"has shape {found}; expected {expected}, one box a region of {self.file('ims.npy').name}."
            )
            self.errors.append(self.error("boxes.npy", "wrong shape", detail))

    def _read_ids(self) -> list[str]:
        path = self.file("ids.txt")
        rows = None if self.features is None else len(self.features)
        if not path.exists():
            return [f"{self.name}_{index}" for index in range((rows or 0) // self.stride)]
        ids = list(iter_lines(path))
        if rows is not None and len(ids) != rows:
            detail = (
                f"has {len(ids):,} ids for the {rows:,} images of {self.file('ims.npy').name}; expected one "
                "a line and image."
            )
            raise FileError(path, "inconsistent", detail)
        if "" in ids:
            raise FileError(path, "damaged", f"line {ids.index('') + 1} is empty; expected an id.")
        return ids[:: self.stride]


def between_splits(splits: list[SplitFiles]) -> list[FileError]:
    """What is wrong among splits that are each without error: widths that differ, ids that come twice."""
    errors = []
    widths = [(split, split.features.shape[2]) for split in splits if split.features is not None]
    for split, width in widths[1:]:
        first, expected = widths[0]
        if width != expected:
            detail = (
                f"features are {width} wide, those of {first.file('ims.npy').name} {expected}. All splits "
                "need the same width."
            )
            errors.append(split.error("ims.npy", "inconsistent", detail))
    seen: dict[str, tuple[str, int]] = {}
    for split in splits:
        for index, image_id in enumerate(split.ids):
            line = split.row_of(index) + 1
            if image_id in seen:
                name, first_line = seen[image_id]
                detail = (
                    f"line {line}: id {image_id!r} was used already ({name}, line {first_line}). Ids must be "
                    "unique over all splits."
                )
                errors.append(split.error("ids.txt", "inconsistent", detail))
                break  # one is enough of a file: a copied file repeats them all
            seen[image_id] = (split.file("ids.txt").name, line)
    return errors


def _repeats(features: np.ndarray) -> bool:
    """Whether the first five rows are one image: the mark of the redundant form."""
    copies = range(1, RELEASED_CAPTIONS)
    return len(features) % RELEASED_CAPTIONS == 0 and all(
        np.array_equal(features[0], features[row], equal_nan=True) for row in copies
    )
