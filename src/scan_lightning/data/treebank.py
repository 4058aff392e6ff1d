"""NLTK's word splitter, which the released SCAN models read captions with.

The released code calls `nltk.word_tokenize` on the lower-cased caption: sentences first (Punkt, a trained
model that has to be downloaded), then words of each sentence by rules in the style of the Penn Treebank. Here
the rules alone are applied, so nothing is downloaded and a caption of one sentence gives exactly the released
tokens. In a caption of several sentences a full stop that touches the last word of a sentence other than the
last stays with it ("dog. it" keeps "dog."), where the released code splits it off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from scan_lightning.data.text import Tokenizer
from scan_lightning.errors import ScanError

NAME = "nltk-treebank-lower"


class TreebankTokenizer(Tokenizer):
    """NLTK's Treebank-style rules on the text with A to Z lower-cased.

    Raises:
        ScanError: NLTK is not installed (when the first text is split).
    """

    def __init__(self) -> None:
        super().__init__(NAME)

    @cached_property
    def _splitter(self) -> Any:
        try:
            from nltk.tokenize.destructive import NLTKWordTokenizer
        except ImportError as error:
            raise ScanError(
                f"{NAME}, the tokenizer of imported models, needs NLTK: pip install 'scan-lightning[nltk]'"
            ) from error
        return NLTKWordTokenizer()

    def tokenize(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Tokens of each sentence; an empty one gives an empty list.

        >>> list(TreebankTokenizer().tokenize(["A dog's red-hot ball."]))
        [['a', 'dog', "'s", 'red-hot', 'ball', '.']]
        """
        for text in texts:
            yield list(self._splitter.tokenize(_lower(text)))

    def spans(self, texts: Iterable[str]) -> Iterator[list[tuple[str, int]]]:
        """Tokens of each sentence with the character where they start in the lower-cased sentence."""
        for text in texts:
            lowered = _lower(text)
            tokens, start = [], 0
            for token in self._splitter.tokenize(lowered):
                written = [token, '"'] if token in ("``", "''") else [token]  # rewritten double quotes
                found = [place for place in (lowered.find(form, start) for form in written) if place >= 0]
                start = min(found, default=start)
                tokens.append((token, start))
                start += 1 if start < len(lowered) and lowered[start] == '"' else len(token)
            yield tokens


def _lower(text: str) -> str:
    """Lower-case A to Z only, as Python 2 did with the bytes of a caption."""
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
