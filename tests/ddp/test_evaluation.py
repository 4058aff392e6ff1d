"""Evaluation split over processes: the same bits, each item once, also where a process has no block."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import folder, rows, start
from small import make_evaluation

from scan_lightning.config.schema import TrainConfig
from scan_lightning.data.items import Captions, Images
from scan_lightning.training.evaluate import evaluate

Configure = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def trained(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    config = configure(tmp_path_factory.mktemp("trained") / "run", trainer={"max_epochs": 1})
    torch.set_num_threads(1)
    start(config)
    return config


def evaluated(trained: TrainConfig, run: Path, devices: int, split: str) -> Path:
    trainer = {"accelerator": "cpu", "devices": devices, "strategy": "ddp_fork" if devices > 1 else "auto"}
    values = {
        "checkpoint": str(folder(trained) / "checkpoints" / "last.ckpt"),
        "data": {"path": trained.data["path"]},
        "trainer": trainer,
        "split": split,
        "run_dir": str(run),
    }
    evaluate(make_evaluation(values), run)
    return run


def assert_same_files(one: Path, other: Path) -> None:
    assert (one / "results.json").read_bytes() == (other / "results.json").read_bytes()
    assert (one / "results.csv").read_bytes() == (other / "results.csv").read_bytes()
    with np.load(one / "ranks.npz") as first, np.load(other / "ranks.npz") as second:
        assert set(first) == set(second)
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(
    ("split", "devices"),
    [
        ("val", 2),  # 3 blocks of images, 2 of captions
        ("test", 3),  # one block each: two processes have none
        pytest.param("val", 3, marks=pytest.mark.slow),
        pytest.param("test", 2, marks=pytest.mark.slow),
    ],
)
def test_figures_are_the_same_bits(
    trained: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str, devices: int
) -> None:
    alone = evaluated(trained, tmp_path / "alone", 1, split)
    for kind in (Images, Captions):
        monkeypatch.setattr(kind, "read", noting(kind, tmp_path / kind.__name__))
    several = evaluated(trained, tmp_path / "several", devices, split)
    assert_same_files(alone, several)
    images = {"val": 300, "test": 12}[split]
    for name, count in (("Images", images), ("Captions", 3 * images)):
        read = [int(line) for line in (tmp_path / name).read_text().split()]
        assert sorted(read) == list(range(count))  # none left out, none twice


def noting(kind: type[Any], path: Path) -> Callable[[Any, list[int]], Any]:
    original = kind.read

    def read(self: Any, positions: list[int]) -> Any:
        with path.open("a") as file:
            file.write("".join(f"{position}\n" for position in positions))
        return original(self, positions)

    return read


def test_validation_in_training_is_that_of_one_process(configure: Configure, tmp_path: Path) -> None:
    """What three processes found while they trained, one finds again in their checkpoint."""
    several = configure(tmp_path / "run", 3, trainer={"max_epochs": 1})
    start(several)
    evaluated(several, tmp_path / "again", 1, "val")
    found, again = (
        json.loads((run / "results.json").read_text()) for run in (folder(several), tmp_path / "again")
    )
    assert found["images"] == 300
    assert found == {name: again[name] for name in found}
    assert [row["val/rsum"] for row in rows(several) if row["val/rsum"]] == [repr(again["rsum"])]


@pytest.mark.slow
def test_the_command_does_it(trained: TrainConfig, tmp_path: Path) -> None:
    alone = evaluated(trained, tmp_path / "alone", 1, "val")
    words = [f"checkpoint={folder(trained)}/checkpoints/last.ckpt", f"data.path={trained.data['path']}"]
    words += ["split=val", f"run_dir={tmp_path}/several", "trainer=ddp_cpu", "trainer.devices=3"]
    done = subprocess.run(
        [sys.executable, "-m", "scan_lightning", "evaluate", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_same_files(alone, tmp_path / "several")
