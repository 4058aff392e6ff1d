"""Fixtures shared by all tests."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest
import torch

# Triton's own functions choose between compiler and interpreter when they are imported, so here, before
# anything else imports them. The kernel itself is interpreted only where a test asks for it.
if importlib.util.find_spec("triton") and not torch.cuda.is_available():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        import triton.language  # noqa: F401

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
