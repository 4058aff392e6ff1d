"""A store and untrained models, small enough to compute everything again in the plain way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from scan_lightning.data.store import Store
from scan_lightning.data.text import SPECIALS, Vocabulary
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.model.checkpoint import VERSION, load
from scan_lightning.model.scan import ScanModel
from scan_lightning.options import options_of
from scan_lightning.similarity import Attention
from scan_lightning.specification import specification

FEATURES = 6
WORDS = ["a", "dog", "cat", "runs", "sleeps", "red", "blue", "red-hot", "n't", "street", "."]


def write_data(path: Path, images: int = 30, seed: int = 0) -> Path:
    """A store: the last 24 of 30 images are test, with 1 to 6 regions and 1 to 4 captions."""
    draw = np.random.default_rng(seed)
    records = [
        ImageRecord(
            id=f"picture{row}.jpg",
            split="train" if row < images // 5 else "test",
            width=0,
            height=0,
            features=draw.standard_normal((1 + draw.integers(6), FEATURES)).astype(np.float32),
            boxes=None,
            captions=[
                " ".join(draw.choice(WORDS, 2 + draw.integers(8))) for _ in range(1 + draw.integers(4))
            ],
        )
        for row in range(images)
    ]
    regions = sum(len(record.features) for record in records)
    write_store(
        path,
        records,
        source="test",
        feature_dim=FEATURES,
        images=images,
        regions=regions,
        dtype="float32",
        progress=False,
    )
    return path


def write_model(
    path: Path, *, seed: int, words: list[str], tokenizer: str = "spacy-en-lower", **changes: Any
) -> Path:
    """An untrained checkpoint; `changes` are arguments of the similarity or of the model."""
    similarity = {"aggregation": "mean"}
    encoders = {"embed_size": 8, "word_size": 5}
    for name, value in changes.items():
        (similarity if name in options_of(Attention) else encoders)[name] = value
    torch.manual_seed(seed)
    model = ScanModel(FEATURES, Vocabulary([*SPECIALS, *words], tokenizer), **encoders)
    content = {
        "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        "hyper_parameters": {
            "version": VERSION,
            "model": specification(model),
            "similarity": specification(Attention(**similarity)),
        },
    }
    torch.save(content, path)
    return path


def scores(checkpoint: Path, data: Path, split: str = "test") -> tuple[torch.Tensor, torch.Tensor]:
    """(images, captions) similarities, image by image through the Python interface, and the gold index."""
    model, store = load(checkpoint), Store(data)
    rows, caption_rows = store.image_rows(split), store.caption_rows(split)
    texts = store.caption_text(caption_rows)
    similarity = []
    for row in rows:
        features, _ = store.read_regions(np.array([row]))
        similarity.append(model.similarity(torch.from_numpy(features), texts)[0].double())
    gold = np.searchsorted(rows, store.caption_image[caption_rows])
    return torch.stack(similarity), torch.from_numpy(gold)
