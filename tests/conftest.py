"""Fixtures shared by all tests."""

import os
import signal
from pathlib import Path

import pytest

# Started in the background of a script, this process ignores Ctrl-C, and so would every command under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder with the real Flickr8K and its `unpack.py`; tests that ask for it are marked `real_data`."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SCAN_REAL_DATA", default))
    if not (folder / "unpack.py").exists():
        pytest.skip(f"no real data in {folder} (set SCAN_REAL_DATA)")
    return folder
