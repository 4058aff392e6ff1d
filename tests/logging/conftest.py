"""A store small enough to train on in a moment, and wandb as on a machine without an account."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from scan_lightning import cli
from scan_lightning.data.writer import ImageRecord, write_store

COLOURS = ("red", "green", "blue", "black")
THINGS = ("car", "dog", "house", "tree")
TINY = [
    "data.batch_size=8",
    "data.word_threshold=1",
    "model.embed_size=12",
    "model.word_size=6",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
]


@pytest.fixture(autouse=True, scope="session")
def no_wandb_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Once for all tests: wandb warns of an environment that changes after its first run."""
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "WANDB_API_KEY",
            "WANDB_MODE",
            "WANDB_IDENTITY_TOKEN_FILE",
            "WANDB_DIR",
            "WANDB_PROJECT",
        ):
            patch.delenv(name, raising=False)
        patch.setenv("NETRC", str(home / "netrc"))
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
            patch.setenv(name, str(home / name.lower()))
        yield


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 training and 8 validation images, two captions each, whose features follow their words."""
    path: Path = tmp_path_factory.mktemp("store") / "scenes.h5"
    random = np.random.default_rng(0)
    meaning = random.normal(size=(8, 10))
    records = []
    for index in range(24):
        colour, thing = index % 4, index // 4 % 4
        features = meaning[[colour, 4 + thing, colour]] + 0.1 * random.normal(size=(3, 10))
        words = f"{COLOURS[colour]} {THINGS[thing]}"
        boxes = np.array([[0, 0, 40, 30], [20, 10, 90, 60], [50, 50, 100, 80]], float)
        captions = [f"A {words}.", f"There is a {words} here."]
        split = "train" if index < 16 else "val"
        records.append(ImageRecord(f"{index:03}.png", split, 100, 80, features, boxes, captions))
    write_store(
        path, records, source="tests", feature_dim=10, images=24, regions=72, dtype="float32", progress=False
    )
    return path


@pytest.fixture
def train(tiny_store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `scan-lightning train WORDS` on the tiny store; returns the status."""

    def run(*words: str) -> int:
        command = ["train", f"data.path={tiny_store}", *TINY, *words]
        monkeypatch.setattr(sys, "argv", ["scan-lightning", *command])
        return cli.main(command)

    return run
