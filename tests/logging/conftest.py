"""A store small enough to train on in a moment, and wandb as on a machine without an account."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_runs import TINY, write_tiny

from scan_lightning import cli


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
    write_tiny(path)
    return path


@pytest.fixture
def train(tiny_store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `scan-lightning train WORDS` on the tiny store; returns the status."""

    def run(*words: str) -> int:
        command = ["train", f"data.path={tiny_store}", *TINY, *words]
        monkeypatch.setattr(sys, "argv", ["scan-lightning", *command])
        return cli.main(command)

    return run
