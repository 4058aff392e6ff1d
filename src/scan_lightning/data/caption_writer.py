"""Writes the captions of a store: texts as given, tokens as rows of the lexicon, counts of train and val."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import h5py
import numpy as np

from scan_lightning.data.checksums import TEXT_BLOCK_ROWS, digest, digests, rows_per_block, store_digests
from scan_lightning.data.format import COUNTED_SPLITS, GOLD_LINKS, text_dtype
from scan_lightning.data.hdf5_file import reserve, string_bytes
from scan_lightning.data.text import Tokenizer

# Caption within the record, character offset of the word in it, region within the record.
Link = tuple[int, int, int]


def write_array(file: h5py.File, path: str, data: np.ndarray) -> None:
    """Write a complete dataset, contiguous, with its digests."""
    if data.dtype.kind == "O":
        reserve(file, string_bytes(data.tolist()))
        file.create_dataset(path, data=data, dtype=text_dtype())
    else:
        reserve(file, data.nbytes)
        file.create_dataset(path, data=data)
    store_digests(file, path, digests(data), rows_per_block(data.shape[1:], data.dtype))


class CaptionWriter:
    """Collects captions, tokenises them a block at a time, and writes everything but the texts at the end.

    Texts go to the file at once; what stays in memory is about four bytes a word and sixteen a caption.
    """

    def __init__(self, file: h5py.File, tokenizer: Tokenizer) -> None:
        self.file, self.tokenizer = file, tokenizer
        self.texts = file.create_dataset(
            "caption/text", (0,), maxshape=(None,), chunks=(TEXT_BLOCK_ROWS,), dtype=text_dtype()
        )
        self.text_digests: list[np.ndarray] = []
        self.waiting: list[str] = []
        self.waiting_counted: list[bool] = []
        self.waiting_links: dict[int, list[tuple[int, int]]] = {}
        self.image = array("q")
        self.tokens = array("i")
        self.offsets = array("q", [0])
        self.lexicon: dict[str, int] = {}
        self.counts = array("q")
        self.links = array("q")

    def add(
        self, captions: Sequence[str], links: Sequence[Link], split: str, image: int, region: int
    ) -> None:
        """Take the captions of the image in row `image`, whose first region is in row `region`."""
        base = len(self.waiting)
        for caption, offset, index in links:
            self.waiting_links.setdefault(base + caption, []).append((offset, region + index))
        self.waiting.extend(captions)
        self.waiting_counted.extend([split in COUNTED_SPLITS] * len(captions))
        self.image.extend([image] * len(captions))
        while len(self.waiting) >= TEXT_BLOCK_ROWS:
            self._flush(TEXT_BLOCK_ROWS)

    def finish(self) -> None:
        """Write the rest: tokens, the lexicon (most frequent word first) and gold links."""
        if self.waiting:
            self._flush(len(self.waiting))
        store_digests(self.file, "caption/text", self.text_digests, TEXT_BLOCK_ROWS)
        words = list(self.lexicon)
        order = sorted(range(len(words)), key=lambda row: (-self.counts[row], words[row]))
        new_row = np.empty(len(words), dtype=np.int32)
        new_row[order] = np.arange(len(words), dtype=np.int32)
        tokens = np.frombuffer(self.tokens, dtype=np.int32) if self.tokens else np.zeros(0, np.int32)
        write_array(self.file, "caption/image", np.array(self.image, dtype=np.int64))
        write_array(self.file, "caption/offsets", np.array(self.offsets, dtype=np.int64))
        write_array(self.file, "caption/tokens", new_row[tokens])
        write_array(self.file, "lexicon/word", np.array([words[row] for row in order], dtype=object))
        write_array(self.file, "lexicon/count", np.array(self.counts, dtype=np.int64)[order])
        if self.links:
            write_array(self.file, GOLD_LINKS, np.array(self.links, dtype=np.int64).reshape(-1, 3))

    def _flush(self, count: int) -> None:
        """Tokenise and write the first `count` waiting captions."""
        texts = self.waiting[:count]
        first = len(self.offsets) - 1
        for index, spans in enumerate(self.tokenizer.spans(texts)):
            counted = self.waiting_counted[index]
            for word, _ in spans:
                row = self.lexicon.setdefault(word, len(self.lexicon))
                if row == len(self.counts):
                    self.counts.append(0)
                self.counts[row] += counted
                self.tokens.append(row)
            self.offsets.append(len(self.tokens))
            self._link(first + index, texts[index], [start for _, start in spans], index)
        rows = np.array(texts, dtype=object)
        reserve(self.file, string_bytes(texts))
        self.texts.resize(first + count, axis=0)
        self.texts[first:] = rows
        self.text_digests.append(digest(rows))
        del self.waiting[:count], self.waiting_counted[:count]
        self.waiting_links = {row - count: links for row, links in self.waiting_links.items()}

    def _link(self, caption_row: int, text: str, starts: list[int], index: int) -> None:
        for offset, region_row in self.waiting_links.pop(index, []):
            lowered = len(text[:offset].lower())  # a few letters grow when lowered
            if lowered not in starts:
                raise ValueError(f"no word of {text!r} starts at character {offset}")
            self.links.extend((caption_row, starts.index(lowered), region_row))
