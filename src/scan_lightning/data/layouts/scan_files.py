"""The files of one split in the released layout: each opened on its own, so that every fault is found.

`{split}_ims.npy` is float (rows, regions, width); `{split}_caps.txt` holds one caption a line. With five
captions an image, caption c belongs to image c // 5. In the older redundant form there are as many rows as
captions and every fifth row is a new image. `{split}_boxes.npy` (rows, regions, 4) and `{split}_ids.txt` are
used where they are present.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.fault import FileError, collect
from scan_lightning.data.layouts.lines import LineCount, count_lines, iter_lines, some_numbers
from scan_lightning.data.layouts.npy import map_npy

STORE_SPLIT = {"train": "train", "dev": "val", "test": "test", "testall": "test"}
RELEASED_CAPTIONS = 5


class SplitFiles:
    """One split, as far as its files can be opened without reading features.

    Args:
        root: The folder.
        name: A key of STORE_SPLIT.

    Attributes:
        features: (rows, k, D) memory map, None when the file is faulty.
        lines: What is in the captions' file, None when it is faulty.
        boxes: (rows, k, 4) memory map, None when there is none or it is faulty.
        stride: Rows an image: 1, or 5 in the redundant form.
        captions_each: Captions an image, once `faults` is empty.
        ids: One an image, once `faults` is empty.
        faults: What is wrong with the files, all of it.
        notes: What the user should know about them, one line each.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.faults: list[FileError] = []
        self.notes: list[str] = []
        self.stride, self.captions_each = 1, 0
        shape = "(images, regions, width)"
        features_file, captions_file = self.file("ims.npy"), self.file("caps.txt")
        self.features = self.boxes = None
        self.lines: LineCount | None = None
        if self._has_both(features_file, captions_file):
            self.features = collect(self.faults, lambda: map_npy(features_file, shape, rank=3))
        if captions_file.exists():
            self.lines = collect(self.faults, lambda: count_lines(captions_file))
        if self.features is not None and self.lines is not None:
            self._fit_captions(self.features, self.lines)
        boxes_file = self.file("boxes.npy")
        if boxes_file.exists():
            self.boxes = collect(self.faults, lambda: map_npy(boxes_file, "(images, regions, 4)", rank=3))
        self._fit_boxes()
        self.ids = collect(self.faults, self._read_ids) or []

    def file(self, ending: str) -> Path:
        """The split's file with this ending, as in `ims.npy`."""
        return self.root / f"{self.name}_{ending}"

    def row_of(self, image: int) -> int:
        """The first row of an image, the same in features, boxes and ids; rows count from 0."""
        return image * self.stride

    def _has_both(self, features: Path, captions: Path) -> bool:
        if features.exists() and captions.exists():
            return True
        there, missing = (features, captions) if features.exists() else (captions, features)
        self.faults.append(
            FileError(
                missing,
                "missing",
                f"is missing, but {there.name} is there. A split needs both: add the missing file, or move "
                f"{there.name} away to leave the split out.",
            )
        )
        return features.exists()

    def _fit_captions(self, features: np.ndarray, lines: LineCount) -> None:
        """Find out the form of the split by its two numbers."""
        features_file, captions_file = self.file("ims.npy"), self.file("caps.txt")
        rows = len(features)
        if lines.count == 0 or lines.count % rows:
            tail = (
                " The last line is empty; remove it?"
                if lines.empty and lines.empty[-1] == lines.count
                else ""
            )
            self.faults.append(
                FileError(
                    captions_file,
                    "inconsistent",
                    f"has {lines.count:,} captions for the {rows:,} images of {features_file.name}; expected "
                    f"a multiple, {rows * RELEASED_CAPTIONS:,} in the released form (or as many as images)."
                    f"{tail} Are the two files from the same download?",
                )
            )
            return
        if lines.empty:
            self.notes.append(
                f"{captions_file.name}: {len(lines.empty):,} empty captions (lines "
                f"{some_numbers(lines.empty)}) are kept; a model reads them as start + end."
            )
        self.stride = RELEASED_CAPTIONS if lines.count == rows and _repeats(features) else 1
        self.captions_each = RELEASED_CAPTIONS if self.stride > 1 else lines.count // rows
        if self.stride > 1:
            self.notes.append(
                f"{features_file.name}: each image is there {self.stride} times (the older form); kept once."
            )
        elif self.captions_each != RELEASED_CAPTIONS:
            self.notes.append(
                f"{captions_file.name}: {self.captions_each} captions an image; the released files have 5."
            )

    def _fit_boxes(self) -> None:
        if self.boxes is None:
            return
        found = self.boxes.shape
        expected = (*(found if self.features is None else self.features.shape)[:2], 4)
        if found == expected:
            return
        self.boxes = None
        self.faults.append(
            FileError(
                self.file("boxes.npy"),
                "wrong shape",
                f"has shape {found}; expected {expected}, one box a region of {self.file('ims.npy').name}.",
            )
        )

    def _read_ids(self) -> list[str]:
        path = self.file("ids.txt")
        rows = None if self.features is None else len(self.features)
        if not path.exists():
            return [f"{self.name}_{index}" for index in range((rows or 0) // self.stride)]
        ids = list(iter_lines(path))
        if rows is not None and len(ids) != rows:
            raise FileError(
                path,
                "inconsistent",
                f"has {len(ids):,} ids for the {rows:,} images of {self.file('ims.npy').name}; expected one "
                "a line and image.",
            )
        if "" in ids:
            raise FileError(path, "damaged", f"line {ids.index('') + 1} is empty; expected an id.")
        return ids[:: self.stride]


def between_splits(splits: list[SplitFiles]) -> list[FileError]:
    """What is wrong among splits that are each without fault: widths that differ, ids that come twice."""
    faults = []
    wide = [split for split in splits if split.features is not None]
    for split in wide[1:]:
        width, first = (part.features.shape[2] for part in (split, wide[0]) if part.features is not None)
        if width != first:
            faults.append(
                FileError(
                    split.file("ims.npy"),
                    "inconsistent",
                    f"features are {width} wide, those of {wide[0].file('ims.npy').name} {first}. All splits "
                    "need the same width.",
                )
            )
    seen: dict[str, tuple[Path, int]] = {}
    for split in splits:
        path = split.file("ids.txt")
        for index, image_id in enumerate(split.ids):
            line = split.row_of(index) + 1
            if image_id in seen:
                first_path, first_line = seen[image_id]
                faults.append(
                    FileError(
                        path,
                        "inconsistent",
                        f"line {line}: id {image_id!r} was used already ({first_path.name}, line "
                        f"{first_line}). Ids must be unique over all splits.",
                    )
                )
                break  # one is enough of a file: a copied file repeats them all
            seen[image_id] = (path, line)
    return faults


def _repeats(features: np.ndarray) -> bool:
    """Whether the first five rows are one image: the mark of the redundant form."""
    if len(features) % RELEASED_CAPTIONS:
        return False
    return all(
        np.array_equal(features[0], features[row], equal_nan=True) for row in range(1, RELEASED_CAPTIONS)
    )
