"""One store for the loaders: variable regions, several captions an image, words too rare to learn."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading_records import records

from scan_lightning.data.store import Store
from scan_lightning.data.writer import write_store


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loading") / "store.h5"
    made = records()
    regions = sum(len(record.features) for record in made)
    write_store(path, made, source="test", feature_dim=6, images=len(made), regions=regions, progress=False)
    return path


@pytest.fixture
def store(store_path: Path) -> Store:
    return Store(store_path)
