"""Attention pictures of a trained model: from checkpoint, store and sentence to figure and files."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from scan_lightning.data.store import Store
from scan_lightning.data.text import UNK
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.overlay import Explained, attention_figure
from scan_lightning.report.text import signed

Array: TypeAlias = NDArray[Any]


def explain(model: TrainedModel, store: Store, image: int, sentence: str) -> Explained:
    """Asks a model what an image and a sentence look at in each other.

    The start and end tokens took part in the similarity, as words do; they are left out here.

    Args:
        model: Of the store's feature width.
        store: Where the image's regions and boxes come from.
        image: Row of the image in the store.
        sentence: As a person writes it.

    Raises:
        ScanError: The model takes other features, the sentence has no word, or the image's boxes are unknown.
    """
    if store.feature_dim != model.feature_dim:
        raise ScanError(
            f"{store.path}: its features are {store.feature_dim} wide, but the model takes "
            f"{model.feature_dim}. Give the store it was trained on, or one with the same features."
        )
    boxes, size = _geometry(store, image)
    explained = look(model, store, image, sentence, boxes=boxes, size=size)
    if not explained.words:
        raise ScanError(f"the sentence {sentence!r} has no word; expected one such as 'a dog on a beach'")
    _warn_unknown(model, list(explained.words))
    return explained


def look(
    model: TrainedModel, store: Store, image: int, sentence: str, *, boxes: Array, size: tuple[int, int]
) -> Explained:
    """As `explain`, for boxes that may be made up, and without checks and warnings.

    Args:
        model: On any device.
        store: Where the image's regions come from.
        image: Row of the image in the store.
        sentence: As a person writes it.
        boxes: (k, 4) where the regions are drawn.
        size: Width and height that the boxes lie in.

    Raises:
        ScanError: A region of the image holds NaN or infinity.
    """
    features, _ = store.read_regions(np.array([image]))
    regions = features[0].astype(np.float32)
    if not np.isfinite(regions).all():
        region = int(np.isfinite(regions).all(1).argmin())
        raise ScanError(
            f"{store.path}: image {store.image_id(image)!r} has NaN or infinity in region {region} (from 0); "
            "expected finite features. `scan-lightning data check` lists every such image."
        )
    tokens, weights, relevance = model.attend(regions, sentence)
    words = slice(1, len(tokens) - 1)  # between start and end
    direction = model.rule.direction
    by_query, relevances = weights.cpu().numpy(), relevance.cpu().numpy()
    by_word = by_query if direction == "t2i" else by_query.T
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
    """Draws what an image and a sentence look at in each other.

    Args:
        model: Of the store's feature width.
        store: Where the image's regions and boxes come from.
        image: Row of the image in the store.
        sentence: As a person writes it.
        images_dir: Folder of the pictures; None draws the regions on an empty canvas.

    Returns:
        A figure for `save_figure`.

    Raises:
        ScanError: As `explain`, or the picture is missing, unreadable or of other proportions.
    """
    explained = explain(model, store, image, sentence)
    name = store.image_id(image)
    picture = None
    if images_dir is not None:
        picture = open_picture(images_dir, name, store.image_size(image))
        if not all(store.image_size(image)):  # then boxes count pixels of this file
            explained = replace(explained, size=picture.size)
    note = f"{name}, similarity {signed(explained.score)}"
    return attention_figure(explained, picture=picture, title=f"“{sentence}”", note=note)


def find_picture(images_dir: Path, image_id: str) -> Path | None:
    """The file of an image: named as its id, with or without a suffix; None when there is none."""
    for name in (image_id, *(f"{image_id}{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".JPG", ".webp"))):
        path = images_dir / name
        # An id that climbs out of the folder is no file of it.
        if path.is_file() and path.resolve().is_relative_to(images_dir.resolve()):
            return path
    return None


def open_picture(images_dir: Path, image_id: str, size: tuple[int, int]) -> Image.Image:
    """Reads the picture of an image.

    Args:
        images_dir: Where it lies.
        image_id: The image's id in the store.
        size: Width and height in the store, 0 when unknown; the file may be a smaller or larger copy.

    Raises:
        ScanError: There is none, it cannot be read, or its proportions are not those of the store.
    """
    path = find_picture(images_dir, image_id)
    if path is None:
        raise ScanError(
            f"{images_dir}: has no picture {image_id!r} (also not with .jpg or .png behind it). Expected "
            "files named by image id; without --images the regions are drawn on an empty canvas."
        )
    try:
        picture = Image.open(path).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise ScanError(f"{path}: cannot be read as a picture ({error}). Replace the file.") from error
    if all(size) and not 0.97 < picture.width * size[1] / (picture.height * size[0]) < 1.03:
        raise ScanError(
            f"{path}: is {picture.width} x {picture.height} pixels, but the store's boxes are for "
            f"{size[0]} x {size[1]}. Give the picture that the regions were found in."
        )
    return picture


def file_stem(image_id: str, sentence: str) -> str:
    """A file name, without a suffix, that says what is in the file."""
    words = re.sub(r"[^a-z0-9]+", "-", sentence.lower()).strip("-")
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', Path(image_id).stem)}_{words[:60].rstrip('-') or 'sentence'}"


def _warn_unknown(model: TrainedModel, words: list[str]) -> None:
    unknown = [repr(word) for word in words if model.vocabulary.id(word) == UNK]
    if unknown:
        names = ", ".join(dict.fromkeys(unknown))
        warnings.warn(
            f"the model does not know {names}: all such words are one to it", ScanWarning, stacklevel=3
        )


def _geometry(store: Store, image: int) -> tuple[Array, tuple[int, int]]:
    """Boxes and size of an image; the size is taken from the boxes where it is not known."""
    boxes = store.boxes(image)
    if not np.isfinite(boxes).all():
        raise ScanError(
            f"{store.path}: knows no boxes for image {store.image_id(image)!r}, so there is nothing to draw. "
            "Build the store with boxes (for the released layout: {split}_boxes.npy beside {split}_ims.npy)."
        )
    width, height = store.image_size(image)
    if not (width and height):
        width, height = (int(np.ceil(value)) for value in boxes[:, 2:].max(axis=0))
    return boxes, (width, height)
