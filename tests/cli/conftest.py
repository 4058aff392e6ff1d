"""The console command in this process, with a training that takes no time."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scan_lightning import cli
from scan_lightning.commands import train
from scan_lightning.config.schema import TrainConfig, plain
from scan_lightning.errors import ScanError


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a file a.h5, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h5").touch()
    return tmp_path


@pytest.fixture
def scan(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `scan-lightning WORDS` in `workdir`; returns the status."""

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["scan-lightning", *words])
        return cli.main()

    return run


class FakeTraining:
    """Stands for the training: writes what a run writes, and remembers what it was called with.

    `fail` maps a smoothing to what a job with it raises.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[TrainConfig, Path]] = []
        self.argv: list[list[str]] = []
        self.cwd: list[Path] = []
        self.fail: dict[float, BaseException] = {}

    def __call__(self, config: TrainConfig, run_dir: Path) -> dict[str, Any]:
        self.calls.append((config, run_dir))
        self.argv.append(sys.argv)
        self.cwd.append(Path.cwd())
        (run_dir / "config.yaml").write_text(yaml.safe_dump(plain(config)))
        smoothing = config.attention.get("smoothing", 9.0)
        if smoothing in self.fail:
            raise self.fail[smoothing]
        (run_dir / "checkpoints").mkdir(exist_ok=True)
        side = {"r1": 1.0, "r5": 2.0, "r10": 3.0, "medr": 4, "meanr": 5.0}
        results = {"split": "val", "images": 1, "captions": 5, "i2t": side, "t2i": side}
        results["rsum"] = 10 * smoothing
        (run_dir / "results.json").write_text(json.dumps(results))
        return results


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining()
    monkeypatch.setattr(train, "execute", fake)
    return fake


@pytest.fixture
def user_fault() -> ScanError:
    return ScanError("the store has no regions\nbuild it again")
