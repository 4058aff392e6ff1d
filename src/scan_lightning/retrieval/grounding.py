"""Grounding accuracy: does the most attended region of a word show the object the word speaks of?

Needs a store that knows the answers (`/gold/links`), as the built-in scenes do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel


@dataclass(frozen=True)
class Grounding:
    """How often attention points at the right object.

    Attributes:
        accuracy: percent of linked words whose most attended region shows a right object.
        chance: percent a region drawn at random would reach, the mean share of right regions.
        words: number of linked words.
    """

    accuracy: float
    chance: float
    words: int


def grounding(model: TrainedModel, store: Store, split: str) -> Grounding | None:
    """Measure where a model's words look, over every linked word of a split.

    For image-to-text models a word's regions are those that look at it most: the column of the weights.

    Args:
        model: of the store's feature width.
        store: with `/gold/links`, whose token positions are those of the model's tokeniser.
        split: which one.

    Returns:
        None when the split has no linked word, the model another tokeniser than the store, or no attention.
    """
    links = store.gold_links
    links = links[np.isin(links[:, 0], store.caption_rows(split))]
    if (
        not len(links)
        or model.tokenizer_name != store.tokenizer
        or model.config.attention.rule != "attention"
    ):
        return None
    hits, chances = [], []
    for caption in np.unique(links[:, 0]):
        of_caption = links[links[:, 0] == caption]
        image = int(store.caption_image[caption])
        (features,), (count,) = store.read_regions(np.array([image]))
        (text,) = store.caption_text(np.array([caption]))
        _, weights, _ = model.attend(features[:count].astype(np.float32), text)
        by_word = weights.cpu().numpy() if model.rule.direction == "t2i" else weights.cpu().numpy().T
        for position in np.unique(of_caption[:, 1]):
            right = of_caption[of_caption[:, 1] == position, 2] - store.region_offsets[image]
            most = int(by_word[position + 1].argmax())  # the start token is row 0
            hits.append(most in right)
            chances.append(len(set(right.tolist())) / count)
    return Grounding(100 * float(np.mean(hits)), 100 * float(np.mean(chances)), len(hits))
