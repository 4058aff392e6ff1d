"""A few scenes and untrained models that look at them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from scan_lightning.config import TrainConfig
from scan_lightning.data.scenes.build import build_scenes
from scan_lightning.data.store import Store
from scan_lightning.data.text import Vocabulary
from scan_lightning.model.checkpoint import KEY, load, payload
from scan_lightning.model.scan import ScanModel
from scan_lightning.model.trained import TrainedModel


@dataclass(frozen=True)
class Scenes:
    path: Path
    images: Path
    store: Store


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    folder = tmp_path_factory.mktemp("report-scenes")
    build_scenes(
        folder / "scenes.h5", images_dir=folder / "images", train=16, val=4, test=14, seed=1, progress=False
    )
    return Scenes(folder / "scenes.h5", folder / "images", Store(folder / "scenes.h5"))


@pytest.fixture(scope="session")
def checkpoint(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an untrained checkpoint for the scenes, looking in a direction."""
    made: dict[tuple[Any, ...], Path] = {}

    def write(direction: str = "t2i", rule: str = "attention", feature_dim: int = 0) -> Path:
        key = (direction, rule, feature_dim)
        if key not in made:
            torch.manual_seed(0)
            config = TrainConfig(run_dir="outputs/none")
            config.data.path = str(scenes.path)
            config.model.embed_size, config.model.word_size = 16, 8
            config.attention.direction = type(config.attention.direction)(direction)
            config.attention.rule = type(config.attention.rule)(rule)
            vocabulary = Vocabulary.from_counts(*scenes.store.lexicon, 1)
            width = feature_dim or scenes.store.feature_dim
            network = ScanModel(width, len(vocabulary), config.model)
            state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
            content = {"state_dict": state, KEY: payload(config, vocabulary, scenes.store.tokenizer, width)}
            made[key] = tmp_path_factory.mktemp("checkpoint") / "best.ckpt"
            torch.save(content, made[key])
        return made[key]

    return write


@pytest.fixture
def model(checkpoint: Callable[..., Path]) -> TrainedModel:
    return load(checkpoint())
