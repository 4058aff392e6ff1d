"""Grounding accuracy: does the most attended region of a word show the object that the word names?

Needs a store with word-to-region links (`/gold/links`), as the built-in scenes have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.similarity import SumMax


@dataclass(frozen=True)
class Grounding:
    """How often attention points at the right object."""

    accuracy: float  # percent of linked words whose most attended region shows a right object
    chance: float  # percent that a region drawn at random would reach, the mean share of right regions
    words: int  # number of linked words


def grounding(model: TrainedModel, store: Store, split: str) -> Grounding | None:
    """Measure where a model's words attend, over every linked word of a split.

    For image-to-text models a word's regions are those that attend to it most: the column of the weights.

    Args:
        model: of the store's feature width.
        store: with `/gold/links`.
        split: which one.

    Returns:
        None when the split has no linked word, the model another tokeniser than the store, or no attention.
    """
    links = store.gold_links[np.isin(store.gold_links[:, 0], store.caption_rows(split))]
    if not len(links) or isinstance(model.rule, SumMax):
        return None
    hits, chances = [], []
    for row in np.unique(links[:, 0]):
        image = int(store.caption_image[row])
        (features,), (count,) = store.read_regions(np.array([image]))
        (text,), (words,) = store.caption_text(np.array([row])), store.caption_words(np.array([row]))
        tokens, weights, _ = model.attend(features[:count].astype(np.float32), text)
        if tokens[1:-1] != words:
            return None
        by_word = (weights if model.rule.direction == "t2i" else weights.T).cpu().numpy()
        of_caption = links[links[:, 0] == row]
        for position in np.unique(of_caption[:, 1]):
            right = set((of_caption[of_caption[:, 1] == position, 2] - store.region_offsets[image]).tolist())
            hits.append(int(by_word[position + 1].argmax()) in right)  # the start token is row 0
            chances.append(len(right) / count)
    return Grounding(100 * float(np.mean(hits)), 100 * float(np.mean(chances)), len(hits))
