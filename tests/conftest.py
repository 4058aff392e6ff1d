"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder with the real Flickr8K and its `unpack.py`; tests that ask for it are marked `real_data`."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SCAN_REAL_DATA", default))
    if not (folder / "unpack.py").exists():
        pytest.skip(f"no real data in {folder} (set SCAN_REAL_DATA)")
    return folder
