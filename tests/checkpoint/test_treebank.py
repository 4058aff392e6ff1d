import sys

import pytest

from scan_lightning.data.text import tokenizer
from scan_lightning.errors import ScanError


def test_tokens_are_those_of_nltk() -> None:
    """Against the rules' documented behaviour, written out."""
    cases = {
        "A man doesn't sit.": ["a", "man", "does", "n't", "sit", "."],
        "Two dogs' red-hot \"ball\", on St. Ann's": [
            *("two", "dogs", "'", "red-hot", "``", "ball", "''", ",", "on", "st.", "ann", "'s")
        ],
        "I can't (won't) pay $5.50 & 10%": [
            *("i", "ca", "n't", "(", "wo", "n't", ")", "pay", "$", "5.50", "&", "10", "%")
        ],
        "": [],
        "   ": [],
        "He's gonna": ["he", "'s", "gon", "na"],
        "CAFÉ": ["cafÉ"],  # Python 2 lower-cased bytes
    }
    assert list(tokenizer("nltk-treebank-lower").tokenize(cases)) == list(cases.values())


def test_spans_say_where_tokens_start() -> None:
    texts = ['Two "big" dogs don\'t (ever) say "it".', "", "``odd'' quotes \"", "can't cannot"]
    for text, spans in zip(texts, tokenizer("nltk-treebank-lower").spans(texts), strict=True):
        assert [token for token, _ in spans] == next(tokenizer("nltk-treebank-lower").tokenize([text]))
        for token, start in spans:
            written = text.lower()[start:]
            assert written.startswith(token) or (token in ("``", "''") and written.startswith('"'))
        assert [start for _, start in spans] == sorted(start for _, start in spans)


def test_without_nltk_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.tokenize.destructive", None)
    with pytest.raises(ScanError, match=r"pip install 'scan-lightning\[nltk\]'"):
        list(tokenizer("nltk-treebank-lower").tokenize(["a"]))
