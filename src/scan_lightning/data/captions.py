"""The captions of a split as token ids in one array: 566,000 captions take 30 MB."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scan_lightning.data.ragged import offsets_of, padded_index
from scan_lightning.data.store import Store
from scan_lightning.data.text import END, START, Vocabulary
from scan_lightning.errors import ScanError

BLOCK = 1 << 16  # captions looked up at a time


class Tokenizes(Protocol):
    """A text encoder or a `Vocabulary`: what turns sentences into ids."""

    def tokenize(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of each sentence, with whatever marks its start and end."""


class CaptionTokens:
    """Token ids of many captions.

    Args:
        ids: (T,) of all captions, one after the other.
        offsets: (C + 1,) int64, caption c owns ids offsets[c] : offsets[c + 1].
    """

    def __init__(self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> None:
        self._ids, self._offsets = ids, offsets
        self.counts: npt.NDArray[np.int64] = np.diff(offsets)

    @classmethod
    def from_lists(cls, captions: Sequence[Sequence[int]]) -> CaptionTokens:
        """From the ids of each caption, start and end included."""
        offsets = offsets_of(np.fromiter(map(len, captions), np.int64, len(captions)))
        return cls(np.fromiter(chain.from_iterable(captions), np.int32, int(offsets[-1])), offsets)

    def __len__(self) -> int:
        return len(self.counts)

    def padded(self, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Captions by position: ids (n, t) int64, zero past a count, and the counts (n,) int64."""
        index, counts = padded_index(self._offsets, positions)
        tokens = np.zeros(index.shape, np.int64)
        tokens[index >= 0] = self._ids[index[index >= 0]]
        return torch.from_numpy(tokens), torch.from_numpy(counts)


def caption_tokens(store: Store, rows: npt.NDArray[np.int64], source: Tokenizes) -> CaptionTokens:
    """Captions of a store as ids.

    Args:
        store: where they are.
        rows: (C,) which captions.
        source: a text encoder or a `Vocabulary`. The store's own tokens are used when this, or its
            `vocabulary`, is a `Vocabulary` of the store's tokeniser; else the sentences are tokenised.

    Raises:
        ScanError: `source` gives no id for a sentence.
    """
    vocabulary = source if isinstance(source, Vocabulary) else getattr(source, "vocabulary", None)
    if isinstance(vocabulary, Vocabulary) and vocabulary.tokenizer == store.tokenizer:
        return _stored_tokens(store, rows, vocabulary)
    sentences = store.caption_text(rows)
    tokens = CaptionTokens.from_lists(source.tokenize(sentences))
    if len(tokens) != len(rows) or (tokens.counts < 1).any():
        raise ScanError(
            f"{type(source).__name__}.tokenize gave {len(tokens):,} lists for {len(rows):,} sentences, "
            f"{int((tokens.counts < 1).sum()):,} of them empty; expected at least one id for each sentence"
        )
    return tokens


def _stored_tokens(store: Store, rows: npt.NDArray[np.int64], vocabulary: Vocabulary) -> CaptionTokens:
    """The store's own tokens as ids; a block at a time: the ids are nearly all the memory it takes."""
    offsets = offsets_of(store.caption_offsets[rows + 1] - store.caption_offsets[rows] + 2)
    ids = np.empty(int(offsets[-1]), np.int32)
    lookup = np.array([vocabulary.id(word) for word in store.lexicon[0]], np.int32)
    for first in range(0, len(rows), BLOCK):
        starts = store.caption_offsets[rows[first : first + BLOCK]]
        bounds = offsets[first : first + BLOCK + 1]
        part, counts = ids[bounds[0] : bounds[-1]], np.diff(bounds) - 2
        part[bounds[:-1] - bounds[0]], part[bounds[1:] - bounds[0] - 1] = START, END
        inner = np.arange(int(counts.sum())) - np.repeat(offsets_of(counts)[:-1], counts)
        part[inner + 1 + np.repeat(bounds[:-1] - bounds[0], counts)] = lookup[
            store.token_rows[inner + np.repeat(starts, counts)]
        ]
    return CaptionTokens(ids, offsets)
