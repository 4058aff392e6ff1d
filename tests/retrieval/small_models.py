"""A store and untrained models, small enough to compute everything again in the plain way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from scan_lightning.config import TrainConfig
from scan_lightning.data.store import Store
from scan_lightning.data.text import SPECIALS, Vocabulary
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.model.checkpoint import KEY, load, payload
from scan_lightning.model.scan import ScanModel

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
    """An untrained checkpoint; `changes` are keys of attention or model."""
    config = TrainConfig(run_dir="outputs/small")
    config.data.path = "small.h5"
    config.model.embed_size, config.model.word_size = 8, 5
    for name, value in changes.items():
        setattr(config.attention if hasattr(config.attention, name) else config.model, name, value)
    torch.manual_seed(seed)
    vocabulary = Vocabulary([*SPECIALS, *words])
    network = ScanModel(FEATURES, len(vocabulary), config.model)
    content = {
        "state_dict": {f"model.{name}": tensor for name, tensor in network.state_dict().items()},
        KEY: payload(config, vocabulary, tokenizer, FEATURES),
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
