"""The captions of a split as token ids of a vocabulary, ragged: 566,000 captions are 30 MB."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scan_lightning.data.gather import offsets_of
from scan_lightning.data.store import Store
from scan_lightning.data.text import END, PAD, START, Vocabulary, tokenizer

Ids = npt.NDArray[np.int32]


class CaptionTokens:
    """Token ids of many captions in one flat array.

    Args:
        captions: ids of each caption, without start and end, which are added here.
    """

    def __init__(self, captions: Sequence[Ids]) -> None:
        self.counts: npt.NDArray[np.int64] = np.fromiter(map(len, captions), np.int64, len(captions)) + 2
        self._starts = offsets_of(self.counts)
        self._flat = np.full(int(self._starts[-1]), START, np.int32)
        self._flat[self._starts[1:] - 1] = END
        inner = np.ones(len(self._flat), bool)
        inner[self._starts[:-1]] = inner[self._starts[1:] - 1] = False
        self._flat[inner] = np.fromiter(chain.from_iterable(captions), np.int32, int(inner.sum()))

    def __len__(self) -> int:
        return len(self.counts)

    def padded(self, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the captions at `positions` as (n, t) int64 ids, padded, and their (n,) int64 counts."""
        counts = self.counts[positions]
        column = np.arange(counts.max(initial=1))
        inside = column < counts[:, None]
        tokens = np.full(inside.shape, PAD, np.int64)
        tokens[inside] = self._flat[(self._starts[positions, None] + column)[inside]]
        return torch.from_numpy(tokens), torch.from_numpy(counts)


def caption_tokens(
    store: Store, rows: npt.NDArray[np.int64], vocabulary: Vocabulary, tokenizer_name: str
) -> CaptionTokens:
    """Return captions of a store as ids of a vocabulary.

    Args:
        store: where they are.
        rows: (C,) which captions.
        vocabulary: the model's, not necessarily made from this store.
        tokenizer_name: the model's. The store's own tokens are used when it was made with the same one;
            otherwise its texts are tokenised again: a model always reads captions the way it learnt them.
    """
    if store.tokenizer != tokenizer_name:
        texts = tokenizer(tokenizer_name).tokenize(store.caption_text(rows))
        return CaptionTokens([np.array([vocabulary.id(word) for word in words], np.int32) for words in texts])
    words, _ = store.lexicon
    lookup = np.array([vocabulary.id(word) for word in words], np.int32)
    return CaptionTokens([lookup[ids] for ids in store.caption_lexicon_ids(rows)])
