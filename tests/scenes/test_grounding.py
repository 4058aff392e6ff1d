"""Grounding accuracy on weights whose answer is known, and what chance is measured as."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.retrieval.grounding import grounding
from scan_lightning.retrieval.statistics import chance_recall


class Looks:
    """A model whose words look where it is told: for each caption, a region a word."""

    def __init__(self, direction: str, looks: dict[str, list[int]]) -> None:
        self.rule = SimpleNamespace(direction=direction)
        self.looks = looks

    def attend(self, features, sentence):
        at = self.looks[sentence]
        by_word = torch.full((len(at) + 2, len(features)), 0.1)
        for word, region in enumerate(at):
            by_word[word + 1, region] = 0.9
        by_word[0, :] = torch.arange(len(features))  # the start token looks elsewhere
        tokens = ["<start>", *sentence.split(), "<end>"]
        return tokens, by_word if self.rule.direction == "t2i" else by_word.T, None


@pytest.fixture
def store(tmp_path) -> Store:
    """Two test images of 4 and 2 regions, and one of another split."""
    captions = ["a red star", "blue disc over red ring", "a star"]
    links = [
        [(0, 2, 3), (0, 6, 3), (0, 6, 1)],  # red -> 3; star -> 3 or 1
        [(0, 0, 0), (0, 5, 0), (0, 15, 1)],  # blue -> 0; disc -> 0; red -> 1
        [(0, 2, 0)],
    ]
    records = [
        ImageRecord(f"{n}", split, 10, 10, np.ones((count, 3), np.float32), None, [text], linked)
        for n, (split, count, text, linked) in enumerate(
            zip(("test", "test", "val"), (4, 2, 3), captions, links, strict=True)
        )
    ]
    write_store(tmp_path / "s.h5", records, source="t", feature_dim=3, images=3, regions=9, progress=False)
    return Store(tmp_path / "s.h5")


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_counts_words_whose_strongest_region_is_right(store, direction) -> None:
    # a, red, star; then blue, disc, over, red, ring. Right: star and blue. Wrong: red, disc, red.
    looks = {"a red star": [3, 0, 1], "blue disc over red ring": [0, 1, 0, 0, 1]}
    found = grounding(Looks(direction, looks), store, "test")
    assert found.words == 5
    assert found.accuracy == pytest.approx(100 * 2 / 5)
    assert found.chance == pytest.approx(100 * (1 / 4 + 2 / 4 + 1 / 2 + 1 / 2 + 1 / 2) / 5)


def test_a_model_that_always_looks_right_reaches_all(store) -> None:
    looks = {"a red star": [0, 3, 3], "blue disc over red ring": [0, 0, 0, 1, 0]}
    assert grounding(Looks("t2i", looks), store, "test").accuracy == 100.0


def test_cannot_be_measured_without_links_or_with_another_tokeniser(store, tmp_path) -> None:
    model = Looks("t2i", {"a red star": [0, 1, 2], "blue disc over red ring": [0] * 5})
    attend = model.attend
    model.attend = lambda *pair: (["<start>", "a red", "star", "<end>"], *attend(*pair)[1:])
    assert grounding(model, store, "test") is None
    record = ImageRecord("1", "test", 10, 10, np.ones((1, 3), np.float32), None, ["a dog"])
    write_store(tmp_path / "n.h5", [record], source="t", feature_dim=3, images=1, regions=1, progress=False)
    assert grounding(Looks("t2i", {}), Store(tmp_path / "n.h5"), "test") is None


def test_chance_is_the_mean_over_all_orders() -> None:
    caption_image = np.array([0, 0, 0, 1, 2, 2])
    reached = []
    for order in permutations(range(6)):
        image_of = caption_image[list(order)]
        reached.append([np.flatnonzero(image_of == image)[0] for image in range(3)])
    ranks = np.array(reached)
    chance = chance_recall(caption_image, 3)
    for k in (1, 5, 10):
        assert chance["i2t"][f"r{k}"] == pytest.approx(100 * (ranks < k).mean())
    assert chance["t2i"] == {"r1": pytest.approx(100 / 3), "r5": 100.0, "r10": 100.0}


def test_an_image_without_captions_is_no_query_but_a_candidate() -> None:
    chance = chance_recall(np.array([0, 0]), 4)
    assert chance["i2t"]["r1"] == pytest.approx(100.0)
    assert chance["t2i"]["r1"] == 25.0
