"""A small scenes data set, built once."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from scan_lightning.data.scenes.build import build_scenes


@dataclass(frozen=True)
class Built:
    store: Path
    images: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Built:
    folder = tmp_path_factory.mktemp("scenes")
    result = Built(folder / "scenes.h5", folder / "scenes")
    build_scenes(result.store, images_dir=result.images, train=30, val=6, test=6, seed=3, progress=False)
    return result
