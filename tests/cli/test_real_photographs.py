"""The main job on real photographs: 200 of Flickr8K, from the released files to recalls on test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.real_data, pytest.mark.timeout(1800)]

IMAGES = 200
SETTINGS = ["model.embed_size=64", "model.word_size=64", "data.batch_size=32", "data.word_threshold=2"]
SETTINGS += ["loss.negatives=all", "optimizer.lr=2e-3", "trainer=cpu", "trainer.max_epochs=5"]


def scan(folder: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "scan_lightning", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )


def test_learns_from_200_photographs(real_data_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, real_data_dir / "unpack.py", tmp_path / "release"]
    subprocess.run([*command, "--images", str(IMAGES), "--dims", "64"], check=True)
    scan(tmp_path, "data", "build", "--layout", "scan-release", "--root", "release", "--out", "photos.h5")
    scan(tmp_path, "train", "data.path=photos.h5", "run_dir=run", *SETTINGS)
    best = "checkpoint=run/checkpoints/best.ckpt"
    scan(tmp_path, "evaluate", best, "data.path=photos.h5", "split=test", "run_dir=test")
    results = json.loads((tmp_path / "test" / "results.json").read_text())
    assert (results["images"], results["captions"]) == (IMAGES, 5 * IMAGES)
    chance = 100 * 10 / IMAGES  # percent of captions whose image is among ten drawn blindly
    assert results["t2i"]["r10"] >= 5 * chance
