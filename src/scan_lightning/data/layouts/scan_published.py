"""The two data sets that SCAN's authors released: which files, how large, and whether a folder holds one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from scan_lightning.data.layouts.npy import NpyHeader, read_npy_header, require_complete
from scan_lightning.data.layouts.scan_files import RELEASED_CAPTIONS, SplitFiles
from scan_lightning.data.layouts.source_files import FileError, collect, count_lines
from scan_lightning.units import size_text

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Published:
    """A released data set."""

    title: str
    folder: str  # where it lies in the download
    images: dict[str, int]  # of each split
    vocabulary: int  # words
    regions: int = 36  # of each image
    width: int = 2048  # of each feature

    def features_errors(self, split: SplitFiles) -> list[FileError]:
        """How a split's features differ from the published file."""
        path, shape = split.file("ims.npy"), self.shape(split.name)
        expected = f"expected {shape} float32, {size_text(math.prod(shape) * FLOAT_BYTES)}"
        if not path.exists():
            return [FileError(path, "missing", expected)]
        errors: list[FileError] = []
        header = collect(errors, lambda: read_npy_header(path))
        if header is None:
            return [FileError(path, error.state, f"{error.detail} ({expected})") for error in errors]
        if not self._is_form_of(header, split.name):
            errors.append(FileError(path, "wrong shape", f"{header.shape}, {expected}"))
        if header.dtype.name != "float32":
            errors.append(FileError(path, "wrong type", f"{header.dtype}, expected float32"))
        collect(errors, lambda: require_complete(path, header))
        return errors

    def captions_errors(self, split: SplitFiles) -> list[FileError]:
        """How a split's captions differ from the published file."""
        path, expected = split.file("caps.txt"), self.images[split.name] * RELEASED_CAPTIONS
        if not path.exists():
            return [FileError(path, "missing", f"expected {expected:,} captions")]
        if split.lines is None:
            return [error for error in split.errors if error.path == path]
        found = split.lines.count
        state = "truncated" if found < expected else "too long"
        detail = f"{found:,} captions, expected {expected:,}"
        return [] if found == expected else [FileError(path, state, detail)]

    def find_vocabulary(self, folder: Path) -> tuple[FileError, bool]:
        """The state of the vocabulary, beside the data set's folder, and whether it is an error."""
        path = folder.resolve().parent / "vocab" / f"{self.folder}_vocab.json"
        if not path.exists():
            return FileError(path, "missing", "no problem: only the authors' checkpoints need it"), False
        try:
            words = len(json.loads(path.read_text(encoding="utf-8"))["word2idx"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return FileError(path, "damaged", f"not a vocabulary ({type(error).__name__})"), True
        if words == self.vocabulary:
            return FileError(path, "found", f"{words:,} words"), False
        return FileError(path, "wrong length", f"{words:,} words, expected {self.vocabulary:,}"), True

    def shape(self, name: str) -> tuple[int, int, int]:
        """The shape of a split's features."""
        return self.images[name], self.regions, self.width

    def looks_like(self, folder: Path, name: str) -> bool:
        """Whether a split has the published number of images or captions, and features of the right shape."""
        header = collect([], lambda: read_npy_header(folder / f"{name}_ims.npy"))
        if header is not None and header.shape[1:] != (self.regions, self.width):
            return False
        if header is not None and self._is_form_of(header, name):
            return True
        lines = collect([], lambda: count_lines(folder / f"{name}_caps.txt"))
        return lines is not None and lines.count == self.images[name] * RELEASED_CAPTIONS

    def _is_form_of(self, header: NpyHeader, name: str) -> bool:
        images, *rest = self.shape(name)
        return header.shape in ((images, *rest), (images * RELEASED_CAPTIONS, *rest))


PUBLISHED = (
    Published("Flickr30K", "f30k_precomp", {"train": 29000, "dev": 1014, "test": 1000}, 8481),
    Published(
        "MS-COCO", "coco_precomp", {"train": 113287, "dev": 5000, "test": 1000, "testall": 5000}, 11353
    ),
)


def recognise(folder: Path) -> Published | None:
    """Which published data set a folder holds: by its name, else by the sizes of its train or dev split."""
    name = folder.resolve().name
    by_name = [published for published in PUBLISHED if name == published.folder]
    by_size = (data for data in PUBLISHED if any(data.looks_like(folder, name) for name in ("train", "dev")))
    return by_name[0] if by_name else next(by_size, None)
