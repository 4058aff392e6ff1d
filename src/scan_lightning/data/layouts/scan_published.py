"""The two data sets that SCAN's authors released: which files, how large, and whether a folder holds one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from scan_lightning.data.layouts.fault import FileError, Finding, collect
from scan_lightning.data.layouts.lines import count_lines
from scan_lightning.data.layouts.npy import NpyHeader, read_npy_header, require_whole
from scan_lightning.data.layouts.scan_files import RELEASED_CAPTIONS, SplitFiles
from scan_lightning.units import size_text

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Published:
    """A released data set.

    Args:
        title: Its name.
        folder: Where it lies in the download.
        images: Of each split.
        vocabulary: Words of its vocabulary.
        regions: Of each image.
        width: Of each feature.
    """

    title: str
    folder: str
    images: dict[str, int]
    vocabulary: int
    regions: int = 36
    width: int = 2048

    def features_faults(self, split: SplitFiles) -> list[FileError]:
        """What tells a split's features from the published file."""
        path, shape = split.file("ims.npy"), self.shape(split.name)
        expected = f"expected {shape} float32, {size_text(math.prod(shape) * FLOAT_BYTES)}"
        if not path.exists():
            return [FileError(path, "missing", expected)]
        faults: list[FileError] = []
        header = collect(faults, lambda: read_npy_header(path))
        if header is None:
            return [FileError(path, fault.state, f"{fault.detail} ({expected})") for fault in faults]
        if not self._is_form_of(header, split.name):
            faults.append(FileError(path, "wrong shape", f"{header.shape}, {expected}"))
        if header.dtype.name != "float32":
            faults.append(FileError(path, "wrong type", f"{header.dtype}, expected float32"))
        collect(faults, lambda: require_whole(path, header))
        return faults

    def captions_faults(self, split: SplitFiles) -> list[FileError]:
        """What tells a split's captions from the published file."""
        path, expected = split.file("caps.txt"), self.images[split.name] * RELEASED_CAPTIONS
        if not path.exists():
            return [FileError(path, "missing", f"expected {expected:,} captions")]
        if split.lines is None:
            return [fault for fault in split.faults if fault.path == path]
        found = split.lines.count
        if found == expected:
            return []
        state = "truncated" if found < expected else "too long"
        return [FileError(path, state, f"{found:,} captions, expected {expected:,}")]

    def find_vocabulary(self, folder: Path) -> Finding:
        """The state of the vocabulary, which lies beside the data set's folder."""
        path = folder.resolve().parent / "vocab" / f"{self.folder}_vocab.json"
        if not path.exists():
            return Finding(path, "missing", "no fault: only the authors' checkpoints need it", fault=False)
        try:
            words = len(json.loads(path.read_text(encoding="utf-8"))["word2idx"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Finding(path, "damaged", f"not a vocabulary ({type(error).__name__})")
        wrong = words != self.vocabulary
        expected = f", expected {self.vocabulary:,}" if wrong else ""
        return Finding(path, "wrong length" if wrong else "found", f"{words:,} words{expected}", fault=wrong)

    def shape(self, name: str) -> tuple[int, int, int]:
        """The shape of a split's features."""
        return self.images[name], self.regions, self.width

    def looks_like(self, folder: Path, name: str) -> bool:
        """Whether a split has the published number of images or captions, and features of the right shape."""
        features, captions = folder / f"{name}_ims.npy", folder / f"{name}_caps.txt"
        header = collect([], lambda: read_npy_header(features))
        if header is not None:
            if header.shape[1:] != (self.regions, self.width):
                return False
            if self._is_form_of(header, name):
                return True
        lines = collect([], lambda: count_lines(captions))
        return lines is not None and lines.count == self.images[name] * RELEASED_CAPTIONS

    def _is_form_of(self, header: NpyHeader, name: str) -> bool:
        images, regions, width = self.shape(name)
        return header.shape in ((images, regions, width), (images * RELEASED_CAPTIONS, regions, width))


PUBLISHED = (
    Published("Flickr30K", "f30k_precomp", {"train": 29000, "dev": 1014, "test": 1000}, 8481),
    Published(
        "MS-COCO", "coco_precomp", {"train": 113287, "dev": 5000, "test": 1000, "testall": 5000}, 11353
    ),
)


def recognise(folder: Path) -> Published | None:
    """Which published data set a folder holds: by its name, else by the sizes of its train or dev split."""
    for published in PUBLISHED:
        if folder.resolve().name == published.folder:
            return published
    for published in PUBLISHED:
        if any(published.looks_like(folder, name) for name in ("train", "dev")):
            return published
    return None
