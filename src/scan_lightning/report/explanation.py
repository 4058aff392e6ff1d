"""What an image and a sentence attend to in each other, from a trained model and a store."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.layout import signed
from scan_lightning.report.overlay import Explained, attention_figure
from scan_lightning.report.pictures import Array, open_picture, place_regions


def explain(
    model: TrainedModel, store: Store, image: int, sentence: str, *, picture: Image.Image | None = None
) -> Explained:
    """Return the attention between an image and a sentence.

    The start and end tokens take part in the similarity; they are left out here. Regions without boxes are
    laid out as a grid.

    Args:
        model: on any device.
        store: of the image, with the features that the model takes.
        image: row of the image in the store.
        sentence: any.
        picture: the image's file, whose size stands in for one that the store does not know.

    Raises:
        ScanError: the model takes other features, or a region holds NaN or infinity.
    """
    require_features(model, store)
    regions = read_regions(store, image)
    tokens, weights, relevance = model.attend(regions, sentence)
    direction = model.rule.direction
    words = slice(1, len(tokens) - 1)
    by_word = (weights if direction == "t2i" else weights.T).cpu().numpy()
    relevances = relevance.cpu().numpy()
    boxes, size = place_regions(store, image, picture)
    return Explained(
        direction=direction,
        words=tokens[words],
        weights=by_word[words],
        relevance=relevances[words] if direction == "t2i" else relevances,
        boxes=boxes,
        size=size,
        score=float(model.similarity(regions[None], [sentence])),
    )


def draw_attention(
    model: TrainedModel, store: Store, image: int, sentence: str, *, images_dir: Path | None = None
) -> Figure:
    """Draw what an image and a sentence attend to in each other.

    Args:
        model: of the store's feature width.
        store: with the image's regions and boxes.
        image: row of the image in the store.
        sentence: any, at least one word.
        images_dir: folder of the pictures; None draws the regions on an empty canvas.

    Returns:
        A figure for `save_figure`.

    Raises:
        ScanError: as `explain`, or the sentence has no word, the image no boxes, or its picture is missing,
            unreadable or of other proportions.
    """
    name = store.image_id(image)
    if not np.isfinite(store.boxes(image)).all():
        raise ScanError(
            f"{store.path}: knows no boxes for image {name!r}, so there is nothing to draw. "
            "Build the store with boxes (for the released layout: {split}_boxes.npy beside {split}_ims.npy)."
        )
    picture = open_picture(store, image, images_dir)
    if images_dir is not None and picture is None:
        raise ScanError(
            f"{images_dir}: has no picture {name!r} (also not with .jpg or .png behind it). Expected "
            "files named by image id; without --images the regions are drawn on an empty canvas."
        )
    explained = explain(model, store, image, sentence, picture=picture)
    if not explained.words:
        raise ScanError(f"the sentence {sentence!r} has no word; expected one such as 'a dog on a beach'")
    unknown = _unknown_words(model, read_regions(store, image), list(dict.fromkeys(explained.words)))
    if unknown:
        names = ", ".join(map(repr, unknown))
        warnings.warn(
            f"the model does not know {names}: unknown words are one to it", ScanWarning, stacklevel=2
        )
    note = f"{name}, similarity {signed(explained.score)}"
    return attention_figure(explained, picture=picture, title=f"“{sentence}”", note=note)


def file_stem(image_id: str, sentence: str) -> str:
    """Return a file name, without a suffix, that says what is in the file."""
    words = re.sub(r"[^a-z0-9]+", "-", sentence.lower()).strip("-")
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', Path(image_id).stem)}_{words[:60].rstrip('-') or 'sentence'}"


def require_features(model: TrainedModel, store: Store) -> None:
    """Raise ScanError when the model takes features of another width than the store's."""
    if store.feature_dim != model.feature_dim:
        raise ScanError(
            f"{store.path}: its features are {store.feature_dim} wide, but the model takes "
            f"{model.feature_dim}. Give the store it was trained on, or one with the same features."
        )


def read_regions(store: Store, image: int) -> Array:
    """Return the (k, F) float32 features of an image, which are finite.

    Raises:
        ScanError: a region holds NaN or infinity.
    """
    (padded,), (count,) = store.read_regions(np.array([image]))
    regions: Array = padded[:count].astype(np.float32)
    finite = np.isfinite(regions).all(1)
    if not finite.all():
        raise ScanError(
            f"{store.path}: image {store.image_id(image)!r} has NaN or infinity in region "
            f"{int(finite.argmin())} (from 0); expected finite features. `scan-lightning data check` lists "
            "every such image."
        )
    return regions


def _unknown_words(model: TrainedModel, regions: Array, words: list[str]) -> list[str]:
    """Return the words that the model cannot tell from one that no vocabulary holds."""
    *scores, nonsense = model.similarity(regions[None], [*words, "qxzjvqkwqx"])[0].tolist()
    return [word for word, score in zip(words, scores, strict=True) if score == nonsense]
