"""Read a store: cheap to open, safe to pickle and fork, random regions at the speed of a memory copy."""

from __future__ import annotations

import difflib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from scan_lightning.data.datasets import READ_ERRORS, reason
from scan_lightning.data.format import GOLD_LINKS, SPLIT_CODES, SPLITS
from scan_lightning.data.header import read_header
from scan_lightning.data.indices import checked_indices, checked_offsets, damaged
from scan_lightning.data.ragged import equal_count, padded_rows
from scan_lightning.data.strings import read_strings
from scan_lightning.errors import ScanError


class Store:
    """A finished store, read only.

    Opening reads the header and checks it. The file's handle and the memory map of the features are made on
    first use in each process, so a store can be pickled, forked and handed to workers.

    Args:
        path: The HDF5 file.

    Raises:
        ScanError: missing, no HDF5 file, no store, of another version, unfinished, or cut short.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        header = self._header = read_header(self.path)
        self.feature_dim, self.feature_dtype = header.feature_dim, header.feature_dtype
        self.tokenizer, self.source, self.created = header.tokenizer, header.source, header.created
        self.image_count, self.region_count = header.images, header.regions
        self.caption_count, self.splits = header.captions, dict(header.splits)
        self._process: int | None = None
        self._file: h5py.File | None = None

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, images={self.image_count}, captions={self.caption_count})"

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key not in _CACHED}
        return state | {"_process": None, "_file": None}

    # -- images and regions

    def image_rows(self, split: str) -> np.ndarray:
        """Rows of a split's images, (n,) int64, ascending.

        Raises:
            ScanError: the store has no such split.
        """
        self._header.require_split(split)
        return np.flatnonzero(self._split_codes == SPLIT_CODES[split])

    def split_of(self, image_row: int) -> str:
        """The split of an image."""
        return SPLITS[int(self._split_codes[image_row])]

    def read_regions(self, image_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features of images, padded to the largest of them.

        Args:
            image_rows: (n,) rows in any order; one may come several times.

        Returns:
            features (n, k_max, D) of the stored type, zero past each count; counts (n,) int64. k_max is at
            least 1.

        Raises:
            ScanError: the file was written to since it was opened.
            IndexError: a row is outside the store.
        """
        rows = np.asarray(image_rows, dtype=np.int64)
        if len(rows) and rows.view(np.uint64).max() >= self.image_count:  # a negative row is a huge one
            raise IndexError(f"image rows {rows.min()}..{rows.max()}, the store has {self.image_count}")
        features, file = self._features
        self._header.require_unwritten(file)
        return padded_rows(features, self.region_offsets, self._regions_each, rows)

    def boxes(self, image_row: int) -> np.ndarray:
        """Boxes of one image, (k, 4) float32 x1 y1 x2 y2 in pixels, NaN when unknown."""
        start, stop = self.region_offsets[image_row : image_row + 2].tolist()
        return self._read("region/boxes", slice(start, stop))

    def all_boxes(self) -> np.ndarray:
        """Boxes of all images, (R, 4) float32, in the order of the features."""
        return self._read("region/boxes")

    def image_id(self, row: int) -> str:
        """The id of an image."""
        return self.image_ids[row]

    def image_size(self, row: int) -> tuple[int, int]:
        """Width and height of an image in pixels, 0 when unknown."""
        width, height = self._read("image/size", row).tolist()
        return width, height

    def find_image(self, image_id: str) -> int:
        """The row of an image.

        Raises:
            ScanError: there is no image of this id; the message names ids that look like it.
        """
        row = self._row_of_id.get(image_id)
        if row is None:
            near = difflib.get_close_matches(image_id, self.image_ids, n=3, cutoff=0.5)
            hint = f"Did you mean {', '.join(near)}?" if near else f"Ids look like {self.image_ids[0]!r}."
            raise ScanError(f"{self.path}: no image {image_id!r} among {self.image_count:,}. {hint}")
        return row

    # -- captions

    def caption_rows(self, split: str) -> np.ndarray:
        """Rows of the captions of a split's images, (m,) int64, sorted by image and caption.

        Raises:
            ScanError: the store has no such split.
        """
        self._header.require_split(split)
        image = self.caption_image
        rows = np.flatnonzero(self._split_codes[image] == SPLIT_CODES[split])
        return rows[np.argsort(image[rows], kind="stable")]

    def caption_text(self, rows: np.ndarray) -> list[str]:
        """The captions as they were given; rows in any order."""
        unique, inverse = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
        if not len(unique):
            return []
        texts = self._read_text("caption/text", unique)
        return [texts[index] for index in inverse.tolist()]

    def caption_words(self, rows: np.ndarray) -> list[list[str]]:
        """Each caption's tokens as words."""
        words, offsets = self.lexicon[0], self.caption_offsets
        return [
            [words[index] for index in self.token_rows[offsets[row] : offsets[row + 1]].tolist()]
            for row in np.asarray(rows, dtype=np.int64).tolist()
        ]

    @cached_property
    def lexicon(self) -> tuple[list[str], np.ndarray]:
        """Every word of every split, and (V,) int64 how often it occurs in train and val captions."""
        words = self._read_text("lexicon/word")
        if len(set(words)) < len(words):
            raise damaged(self.path, "lexicon/word", "a word comes twice")
        return words, self._read("lexicon/count")

    @cached_property
    def gold_links(self) -> np.ndarray:
        """(L, 3) int64: caption row, position among the caption's tokens, region row; mostly none."""
        if not self._header.links:
            return np.zeros((0, 3), dtype=np.int64)
        return self._read(GOLD_LINKS)

    # -- small arrays, read once a process

    @cached_property
    def region_offsets(self) -> np.ndarray:
        """(N + 1,) int64: image i owns region rows offsets[i] : offsets[i + 1]."""
        return checked_offsets(self.path, "region/offsets", self._read("region/offsets"), self.region_count)

    @cached_property
    def _regions_each(self) -> int:
        return equal_count(self.region_offsets)

    @cached_property
    def caption_offsets(self) -> np.ndarray:
        """(C + 1,) int64: caption c owns tokens offsets[c] : offsets[c + 1]."""
        offsets = self._read("caption/offsets")
        return checked_offsets(self.path, "caption/offsets", offsets, len(self.token_rows))

    @cached_property
    def caption_image(self) -> np.ndarray:
        """(C,) int64: the row of each caption's image."""
        return checked_indices(self.path, "caption/image", self._read("caption/image"), self.image_count)

    @cached_property
    def image_ids(self) -> list[str]:
        """The id of every image."""
        return self._read_text("image/id")

    @cached_property
    def _row_of_id(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.image_ids)}

    @cached_property
    def _split_codes(self) -> np.ndarray:
        return checked_indices(self.path, "image/split", self._read("image/split"), len(SPLIT_CODES))

    @cached_property
    def token_rows(self) -> np.ndarray:
        """(T,) int32: the tokens of all captions, without start and end, as rows of the lexicon."""
        words = len(self.lexicon[0])
        return checked_indices(self.path, "caption/tokens", self._read("caption/tokens"), words)

    # -- the file

    def _read(self, name: str, rows: int | slice | np.ndarray = slice(None)) -> np.ndarray:
        """Rows of a dataset of numbers."""
        try:
            return np.asarray(self._open()[name][rows])
        except READ_ERRORS as error:
            raise damaged(self.path, name, reason(error)) from error

    def _read_text(self, name: str, rows: slice | np.ndarray = slice(None)) -> list[str]:
        """Rows of a dataset of strings."""
        try:
            return [text.decode("utf-8") for text in read_strings(self._open()[name], rows)]
        except UnicodeDecodeError as error:
            raise damaged(self.path, name, "not UTF-8") from error
        except READ_ERRORS as error:
            raise damaged(self.path, name, reason(error)) from error

    def _open(self) -> h5py.File:
        """This process's handle."""
        if self._file is None or self._process != os.getpid():
            self._header.require_same()
            self._file = h5py.File(self.path, "r")
            self._process = os.getpid()
        return self._file

    @cached_property
    def _features(self) -> tuple[np.ndarray, BinaryIO]:
        """The feature array as a read-only memory map, and its file. Both survive a fork, none is pickled."""
        self._header.require_same()
        file = self.path.open("rb")
        shape = (self.region_count, self.feature_dim)
        offset = self._header.feature_offset
        mapped = np.memmap(file, dtype=self.feature_dtype, mode="r", offset=offset, shape=shape)
        return mapped.view(np.ndarray), file  # a plain array is sliced faster than a memmap object


_CACHED = frozenset(name for name, value in vars(Store).items() if isinstance(value, cached_property))
