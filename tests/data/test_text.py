"""Tokens, vocabulary and encoding against plain counting."""

import pickle
from collections import Counter

import numpy as np
import pytest

from scan_lightning.data.text import SPECIALS, Vocabulary, tokenizer
from scan_lightning.errors import ScanError


def test_tokens_are_lower_case_words_and_signs_without_whitespace() -> None:
    texts = ["A  Dog's red-hot\tBALL.", "", "   ", "Two dogs, one street"]
    assert list(tokenizer("spacy-en-lower").tokenize(texts)) == [
        ["a", "dog", "'s", "red", "-", "hot", "ball", "."],
        [],
        [],
        ["two", "dogs", ",", "one", "street"],
    ]


def test_spans_point_into_the_lower_cased_text() -> None:
    text = "A  Red dog's İ ball"
    (spans,) = tokenizer("spacy-en-lower").spans([text])
    assert spans
    assert all(text.lower()[start : start + len(word)] == word for word, start in spans)


def test_tokenizer_survives_pickling_after_use() -> None:
    first = tokenizer("spacy-en-lower")
    before = list(first.tokenize(["a dog."]))
    again = pickle.loads(pickle.dumps(first))
    assert list(again.tokenize(["a dog."])) == before
    assert len(pickle.dumps(first)) < 500


def test_unknown_tokenizer_names_those_there_are() -> None:
    with pytest.raises(ScanError, match=r"'moses'.*spacy-en-lower"):
        tokenizer("moses")


def test_vocabulary_against_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    tokens = [f"w{index}" for index in rng.zipf(1.5, 3000) if index < 200]
    counted = Counter(tokens)
    words = sorted(counted)
    for threshold in (1, 4, 50):
        vocabulary = Vocabulary.from_counts(words, np.array([counted[w] for w in words]), threshold)
        kept = {word for word, count in counted.items() if count >= threshold}
        assert set(vocabulary.words[4:]) == kept
        assert len(vocabulary) == len(kept) + 4
        assert tuple(vocabulary.words[:4]) == SPECIALS == ("<pad>", "<start>", "<end>", "<unk>")


def test_encoding_frames_each_caption_and_maps_strangers_to_unk() -> None:
    vocabulary = Vocabulary.from_counts(["a", "dog"], np.array([9, 9]))
    assert vocabulary.encode(["a", "dog", "a"]) == [1, 4, 5, 4, 2]
    assert vocabulary.encode(["zebra"]) == [1, 3, 2]
    assert vocabulary.encode([]) == [1, 2]


def test_text_cannot_reach_the_specials() -> None:
    vocabulary = Vocabulary.from_counts(["<end>", "a", "<pad>"], np.array([9, 9, 9]))
    assert vocabulary.words == [*SPECIALS, "a"]
    assert vocabulary.encode(["<pad>", "<end>", "<start>"]) == [1, 3, 3, 3, 2]


@pytest.mark.parametrize("words", [["a", "b"], [*SPECIALS, "a", "a"], [*SPECIALS[::-1], "a"]])
def test_a_list_that_is_no_vocabulary_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary(words)
