"""Captions to words, words to ids: the tokeniser and the vocabulary.

The released data was tokenised by NLTK on the lower-cased caption; here spaCy's English rules do it, on the
lower-cased caption too, and the name of the tokeniser travels with every store and checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from scan_lightning.errors import ScanError
from scan_lightning.specification import Configurable

PAD, START, END, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")


class Tokenizer:
    """spaCy's rules for English on the lower-cased sentence; whitespace is no token."""

    def __init__(self, name: str = "spacy-en-lower") -> None:
        self.name = name

    def spans(self, texts: Iterable[str]) -> Iterator[list[tuple[str, int]]]:
        """Tokens of each sentence with the character where they start in the lower-cased sentence."""
        for doc in _english().pipe(text.lower() for text in texts):
            yield [(token.text, token.idx) for token in doc if not token.is_space]

    def tokenize(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Tokens of each sentence; an empty one gives an empty list.

        >>> list(Tokenizer().tokenize(["A dog's red-hot ball."]))
        [['a', 'dog', "'s", 'red', '-', 'hot', 'ball', '.']]
        """
        for spans in self.spans(texts):
            yield [token for token, _ in spans]


def _treebank() -> Tokenizer:
    from scan_lightning.data.treebank import TreebankTokenizer  # needs NLTK, which few users need

    return TreebankTokenizer()


@cache
def _english() -> Any:
    import spacy  # takes a third of a second: only commands that tokenise pay for it

    return spacy.blank("en")


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "spacy-en-lower": lambda: Tokenizer("spacy-en-lower"),
    "nltk-treebank-lower": _treebank,  # what the released models read captions with
}


def tokenizer(name: str) -> Tokenizer:
    """The tokeniser of this name.

    Raises:
        ScanError: there is none of this name.
    """
    if name not in TOKENIZERS:
        raise ScanError(
            f"unknown tokenizer {name!r}: this version knows {', '.join(sorted(TOKENIZERS))}. "
            "Use the version of scan-lightning that wrote the file, or build the store again."
        )
    return TOKENIZERS[name]()


class Vocabulary(Configurable):
    """A closed list of words, and the tokeniser that finds them in a sentence.

    Args:
        words: every word, `<pad>`, `<start>`, `<end>` and `<unk>` first; the position is the id
        tokenizer: name of the tokeniser, a key of `TOKENIZERS`

    Raises:
        ValueError: the specials are not where they belong, or a word comes twice.
        ScanError: no tokeniser of this name.
    """

    def __init__(self, words: Sequence[str], tokenizer: str = "spacy-en-lower") -> None:
        self.words, self.tokenizer = list(words), tokenizer
        self._tokenizer  # refuses an unknown name  # noqa: B018
        if tuple(self.words[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"a vocabulary starts with {SPECIALS}, found {self.words[:4]}")
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError("a vocabulary holds each word once")

    @classmethod
    def from_counts(
        cls,
        words: Sequence[str],
        counts: np.ndarray,
        threshold: int = 4,
        tokenizer: str = "spacy-en-lower",
    ) -> Vocabulary:
        """The words counted at least `threshold` times, in the order given.

        Args:
            words: (V,) words, each once, without the specials.
            counts: (V,) how often each occurs.
            threshold: the lowest count of a word that is kept (released data: 4).
            tokenizer: name of the tokeniser that made the words.

        >>> Vocabulary.from_counts(["a", "dog", "zyx"], np.array([9, 4, 3])).words[4:]
        ['a', 'dog']
        """
        kept = [w for w, count in zip(words, counts, strict=True) if count >= threshold and w not in SPECIALS]
        return cls([*SPECIALS, *kept], tokenizer)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer(self.tokenizer)

    def id(self, word: str) -> int:
        """The id of a word, that of `<unk>` for an unknown one; no word has the id of another special."""
        index = self._ids.get(word, UNK)
        return index if index > UNK else UNK

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Ids of a caption's words, with start and end. An empty caption is start + end.

        >>> Vocabulary.from_counts(["a", "dog"], np.array([9, 9])).encode(["a", "cat"])
        [1, 4, 3, 2]
        """
        return [START, *(self.id(token) for token in tokens), END]

    def tokenize(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of each sentence, with start and end.

        >>> Vocabulary.from_counts(["a", "dog"], np.array([9, 9])).tokenize(["A dog.", ""])
        [[1, 4, 5, 3, 2], [1, 2]]
        """
        return [self.encode(tokens) for tokens in self._tokenizer.tokenize(sentences)]

    def words_of(self, sentence: str) -> list[str]:
        """What the ids of a sentence stand for: `<start>`, its words as written in lower case, `<end>`."""
        (tokens,) = self._tokenizer.tokenize([sentence])
        return [SPECIALS[START], *tokens, SPECIALS[END]]
